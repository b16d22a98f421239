//===- Synth.cpp - A small corpus out of nothing --------------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Stories with people who want, look for and find things, dialogues about what
// happened, sums and rows of numbers. Small models learn the spelling first,
// then the grammar, then who has what: enough to see training work.
//
//===----------------------------------------------------------------------===//

#include "runtime/data/Prepare.h"
#include "runtime/data/Random.h"
#include "runtime/tokenizer/Trainer.h"

#include <algorithm>
#include <initializer_list>

namespace qrt {

namespace {

/// Draws of one document, one after another.
class Draw {
public:
  Draw(uint64_t seed, uint64_t document)
      : key(mixKey(seed, 0x73796e7468 /*synth*/, document)) {}

  uint64_t below(uint64_t n) { return mixKey(key, count++) % n; }
  int between(int low, int high) {
    return low + int(below(uint64_t(high) - low + 1));
  }
  const char *of(std::initializer_list<const char *> choices) {
    return choices.begin()[below(choices.size())];
  }

private:
  uint64_t key, count = 0;
};

struct Person {
  const char *name, *subject, *possessive, *object;
};

Person drawPerson(Draw &draw) {
  if (draw.below(2))
    return {draw.of({"Anna", "Mia", "Lucy", "Sara", "Nora", "Ella", "Ruth"}),
            "she", "her", "her"};
  return {draw.of({"Tom", "Ben", "Max", "Sam", "Leo", "Paul", "Noah"}), "he",
          "his", "him"};
}

const char *drawThing(Draw &draw) {
  return draw.of({"ball", "book", "kite", "hat", "cup", "drum", "lamp", "boat",
                  "coat", "bell", "map", "basket", "blanket", "key"});
}

const char *drawColor(Draw &draw) {
  return draw.of({"red", "blue", "green", "yellow", "white", "brown", "small",
                  "big", "old", "new"});
}

const char *drawPlace(Draw &draw) {
  return draw.of({"garden", "kitchen", "forest", "market", "school", "river",
                  "barn", "park", "village", "library"});
}

const char *drawSpot(Draw &draw) {
  return draw.of({"under a tree", "behind the door", "on the table",
                  "near the gate", "in a box", "under the bed",
                  "next to a stone", "on the roof"});
}

std::string capital(std::string text) {
  if (!text.empty() && text[0] >= 'a' && text[0] <= 'z')
    text[0] = char(text[0] - 'a' + 'A');
  return text;
}

/// Text that is put together with <<, whose operands are evaluated from left to
/// right: with + the order of draws would be the compiler's choice.
struct Text {
  std::string text;
  Text &operator<<(std::string_view part) {
    text += part;
    return *this;
  }
  Text &operator<<(int value) {
    text += std::to_string(value);
    return *this;
  }
};

std::string story(Draw &draw) {
  Person one = drawPerson(draw), two = drawPerson(draw);
  while (std::string_view(two.name) == one.name)
    two = drawPerson(draw);
  Text thingText;
  thingText << drawColor(draw) << " " << drawThing(draw);
  const std::string &thing = thingText.text;
  std::string place = drawPlace(draw), spot = drawSpot(draw);
  std::string he = one.subject;

  Text out;
  out << draw.of({"One day", "One morning", "In the evening", "Last summer",
                  "On a cold day", "After school"})
      << ", " << one.name
      << draw.of({" went to the ", " walked to the ", " ran to the ",
                  " was in the "})
      << place << ". " << capital(he)
      << draw.of(
             {" wanted to play with ", " was looking for ", " could not find "})
      << one.possessive << " " << thing << ". ";
  if (draw.below(2))
    out << capital(he)
        << draw.of({" was sad. ", " felt tired. ", " began to cry. ",
                    " looked everywhere. ", " did not give up. "});
  if (draw.below(2))
    out << "Then " << two.name << " came along the road. ";
  else
    out << "Then " << two.name << " saw " << one.object << ". ";
  out << "\""
      << draw.of({"What is wrong?", "Can I help you?", "Why are you here?"})
      << "\" asked " << two.name << ". \"I "
      << draw.of({"lost my ", "cannot find my ", "need my "}) << thing
      << ",\" said " << one.name << ". ";
  if (draw.below(4))
    out << "They looked together and found the " << thing << " " << spot << ". "
        << one.name
        << draw.of({" was very happy. ", " laughed and jumped. ", " smiled. "})
        << "\"Thank you, " << two.name << "!\" " << he << " said.";
  else
    out << two.name << " gave " << one.object << " a " << drawColor(draw) << " "
        << drawThing(draw) << ". \"You can have mine,\" " << two.subject
        << " said. Now " << one.name << " was happy again.";
  out << "\n";
  if (draw.below(2)) {
    out << "Question: What did " << one.name << " want?\nAnswer: The " << thing
        << ".\n";
    if (draw.below(2))
      out << "Question: Where was " << one.name << "?\nAnswer: At the " << place
          << ".\n";
  }
  return out.text;
}

std::string sums(Draw &draw) {
  Text out;
  for (int n = draw.between(6, 12); n > 0; --n) {
    int a = draw.between(0, 20), b = draw.between(0, 20);
    if (draw.below(3) == 0) {
      if (a < b)
        std::swap(a, b);
      out << a << " - " << b << " = " << a - b << "\n";
    } else {
      out << a << " + " << b << " = " << a + b << "\n";
    }
  }
  return out.text;
}

std::string counting(Draw &draw) {
  Text out;
  out << drawPerson(draw).name << " counts in steps of ";
  int step = draw.between(1, 5), at = draw.between(0, 20);
  out << step << ": ";
  for (int i = draw.between(6, 14); i > 0; --i, at += step)
    out << at << (i > 1 ? ", " : ".\n");
  return out.text;
}

std::string shopping(Draw &draw) {
  Person who = drawPerson(draw);
  std::string thing = drawThing(draw);
  int had = draw.between(2, 12), more = draw.between(1, 9);
  Text out;
  out << who.name << " had " << had << " " << thing << "s. "
      << capital(who.subject);
  if (draw.below(2)) {
    out << " bought " << more << " more at the " << drawPlace(draw) << ". Now "
        << who.subject << " has " << had << " + " << more << " = "
        << had + more;
  } else {
    more = std::min(more, had);
    out << " gave " << more << " to " << drawPerson(draw).name << ". Now "
        << who.subject << " has " << had << " - " << more << " = "
        << had - more;
  }
  out << " " << thing << "s.\n";
  return out.text;
}

} // namespace

std::string synthDocument(uint64_t seed, uint64_t index) {
  Draw draw(seed, index);
  switch (draw.below(8)) {
  case 0:
    return sums(draw);
  case 1:
    return counting(draw);
  case 2:
    return shopping(draw);
  default:
    return story(draw);
  }
}

Expected<DataSummary> synthesizeData(const SynthOptions &options) {
  constexpr uint64_t valEvery = 50; // documents
  TokenizerTrainerOptions training;
  training.vocabSize = options.vocabSize;
  QRT_ASSIGN_OR_RETURN(auto trainer, TokenizerTrainer::create(training));
  uint64_t documents = 0;
  for (uint64_t bytes = 0; bytes < options.bytes; ++documents) {
    std::string text = synthDocument(options.seed, documents);
    bytes += text.size();
    QRT_RETURN_IF_ERROR(trainer->feed(text));
    QRT_RETURN_IF_ERROR(trainer->endDocument());
  }
  QRT_ASSIGN_OR_RETURN(auto tokenizer, trainer->train());

  QRT_ASSIGN_OR_RETURN(auto writer, PreparedDataWriter::create(
                                        options.folder, *tokenizer, true));
  for (uint64_t i = 0; i < documents; ++i) {
    auto split = i % valEvery == valEvery - 1
                     ? PreparedDataWriter::Split::Val
                     : PreparedDataWriter::Split::Train;
    std::string text = synthDocument(options.seed, i);
    QRT_ASSIGN_OR_RETURN(auto ids, tokenizer->encode(text));
    QRT_RETURN_IF_ERROR(writer->addTokens(ids, 0, text.size(), split));
    QRT_RETURN_IF_ERROR(writer->endDocument());
  }
  return writer->finish();
}

} // namespace qrt
