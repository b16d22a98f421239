#!/usr/bin/env python3
"""Writes golden.jsonl: small tokenizers of every supported kind, with texts and
the ids and decoded texts that the `tokenizers` package gives for them.

Needs `pip install tokenizers` (made with 0.23). Run by hand; the output is
committed: make_golden.py > golden.jsonl
"""
import json
import random

from tokenizers import (AddedToken, Regex, Tokenizer, decoders, models,
                        normalizers, pre_tokenizers, trainers)

random.seed(7)
META = "\u2581"
CORPUS = [
    "the quick brown fox jumps over the lazy dog 1234 55 times\n",
    "  she said: don't WE'LL go?\n\tOK \u2014 na\u00efve caf\u00e9 \u00c5ngstr\u00f6m",
    "\u6771\u4eac is \u65e5\u672c \u306e\u90fd 123\u65e5",
    "hello hello hello world worlds 3.14 <tag> x=y;\n\n\n",
] * 3
QWEN = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|"
        r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
POOL = [
    "the", " quick", "fox", " ", "  ", "\n", "\t", "dog", "dogs", " dog ",
    "hello", " hello", "hello w", "orld", "<tag>", "<tagged>", "<|end|>",
    "<|endoftext|>", "<m>", "<r>", "<b>", " <m> ", " <r> ", "<b>  ",
    "A\u030a", "\u00c5", "e\u0301", "\u6771\u4eac", "\u65e5", "1", "23",
    "\u00a0", "\u3000", "\u0085", "\u180e", "'s", "'LL", "'\u017f", "<s>",
    " <s> ", "<unk>", META, "\U0001f642", "x=y;", "\r\n", "\u0301", "o",
    "\u1100\u1161", "_", "\u212a", "<", "|>"
]


def byte_level(prefix=False, regex=True):
    return pre_tokenizers.ByteLevel(add_prefix_space=prefix, use_regex=regex)


def trained(pre, normalizer=None):
    t = Tokenizer(models.BPE())
    if normalizer:
        t.normalizer = normalizer
    t.pre_tokenizer = pre
    t.decoder = decoders.ByteLevel()
    t.train_from_iterator(
        CORPUS,
        trainers.BpeTrainer(
            vocab_size=300,
            show_progress=False,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    return t


def characters(pre=None, normalizer=None, fallback=True, fuse=True,
               strip=True):
    t = Tokenizer(
        models.BPE(unk_token="<unk>", fuse_unk=fuse, byte_fallback=fallback))
    if normalizer:
        t.normalizer = normalizer
    if pre:
        t.pre_tokenizer = pre
    special = ["<unk>"]
    if fallback:
        special += ["<0x%02X>" % i for i in range(256)]
    t.train_from_iterator(
        [w for c in CORPUS for w in c.split(" ")],
        trainers.BpeTrainer(
            vocab_size=len(special) + 100,
            show_progress=False,
            special_tokens=special))
    j = json.loads(t.to_str())
    j["added_tokens"] = []
    steps = [{"type": "Replace", "pattern": {"String": META}, "content": " "},
             {"type": "ByteFallback"}, {"type": "Fuse"}]
    if strip:
        steps.append({"type": "Strip", "content": " ", "start": 1, "stop": 0})
    j["decoder"] = {"type": "Sequence", "decoders": steps}
    t = Tokenizer.from_str(json.dumps(j))
    t.add_special_tokens([AddedToken("<s>", normalized=False)])
    return t


def tokenizers():
    sequence, split = pre_tokenizers.Sequence, pre_tokenizers.Split
    raw = byte_level(False, False)
    yield "gpt2", trained(byte_level())
    yield "prefix space", trained(byte_level(True))
    yield "qwen", trained(
        sequence([split(Regex(QWEN), "isolated"), raw]), normalizers.NFC())
    yield "digits", trained(
        sequence([pre_tokenizers.Digits(True), byte_level()]))
    yield "removed", trained(sequence([split(Regex(" +"), "removed"), raw]))
    yield "kept", trained(
        sequence([split(Regex(r"\w+|[^\w\s]+"), "removed", True), raw]))
    yield "literal", trained(sequence([split("o", "isolated"), raw]))
    t = trained(byte_level())
    t.add_special_tokens(["<|end|>", "<|endoftext|>"])
    t.add_tokens(["<tag>", "<tagged>", "hello w"])
    yield "added", t
    t = trained(byte_level(), normalizers.NFC())
    t.add_special_tokens([
        AddedToken("<m>", lstrip=True, normalized=False),
        AddedToken("<r>", rstrip=True, normalized=False),
        AddedToken("<b>", lstrip=True, rstrip=True)
    ])
    t.add_tokens([
        AddedToken("dog", single_word=True, normalized=False),
        AddedToken("\u00c5", normalized=True),
        AddedToken("fox", normalized=True)
    ])
    yield "flags", t
    j = json.loads(trained(byte_level()).to_str())
    j["model"]["ignore_merges"] = True
    j["model"]["vocab"].update({"\u0120hello": 300, "dog": 301})
    yield "ignore merges", Tokenizer.from_str(json.dumps(j))
    spaces = normalizers.Replace(" ", META)
    yield "llama", characters(
        normalizer=normalizers.Sequence([normalizers.Prepend(META), spaces]))
    for scheme in ("always", "first", "never"):
        yield "metaspace " + scheme, characters(
            pre=pre_tokenizers.Metaspace(META, scheme, scheme != "first"))
    yield "unknown", characters(normalizer=spaces, fallback=False)
    yield "unknown unfused", characters(
        normalizer=spaces, fallback=False, fuse=False)


for name, tokenizer in tokenizers():
    cases = []
    for _ in range(30):
        text = "".join(random.choice(POOL) for _ in range(random.randint(1, 9)))
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        decoded = tokenizer.decode(ids, skip_special_tokens=False)
        cases.append({"text": text, "ids": ids, "decoded": decoded})
    print(json.dumps({
        "name": name,
        "tokenizer": json.loads(tokenizer.to_str()),
        "cases": cases
    }, separators=(",", ":")))
