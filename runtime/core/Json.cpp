//===- Json.cpp - JSON from files that are not trusted --------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/core/Json.h"

#include <cerrno>
#include <cmath>
#include <cstring>
#include <fcntl.h>
#include <iterator>
#include <sys/stat.h>
#include <unistd.h>
#include <unordered_set>
#include <vector>

namespace qrt {

namespace {

constexpr int jsonCode = 3005;

/// Walks over the text and tells how far the parser has come, so that errors
/// found in events have a place.
class CountingIterator {
public:
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char *;
  using reference = const char &;

  CountingIterator(const char *at, const char **progress)
      : at(at), progress(progress) {}
  reference operator*() const { return *at; }
  CountingIterator &operator++() {
    *progress = ++at;
    return *this;
  }
  CountingIterator operator++(int) {
    CountingIterator old = *this;
    ++*this;
    return old;
  }
  bool operator==(const CountingIterator &o) const { return at == o.at; }
  bool operator!=(const CountingIterator &o) const { return at != o.at; }

private:
  const char *at;
  const char **progress;
};

/// Adapts nlohmann's events: limits the depth, rejects duplicate keys.
class Events : public nlohmann::json_sax<nlohmann::json> {
public:
  Events(size_t maxDepth, JsonHandler &handler)
      : maxDepth(maxDepth), handler(handler) {}

  std::string message;   // why parsing stopped
  bool syntax = false;   // found by the parser itself...
  size_t syntaxByte = 0; // ... here (counted from 1)
  bool byHandler = false;

  bool null() override { return pass(handler.null()); }
  bool boolean(bool v) override { return pass(handler.boolean(v)); }
  bool number_integer(number_integer_t v) override {
    return pass(handler.integer(v));
  }
  bool number_unsigned(number_unsigned_t v) override {
    return pass(handler.natural(v));
  }
  bool number_float(number_float_t v, const string_t &) override {
    if (!std::isfinite(v))
      return stop("a number is too large");
    return pass(handler.real(v));
  }
  bool string(string_t &v) override { return pass(handler.string(v)); }
  bool binary(binary_t &) override { return stop("unexpected binary value"); }
  bool start_object(std::size_t) override {
    if (++depth > maxDepth)
      return tooDeep();
    keys.emplace_back();
    return pass(handler.beginObject());
  }
  bool key(string_t &v) override {
    if (!keys.back().insert(v).second)
      return stop(fmt::format(
          "the key {} occurs twice in one object",
          nlohmann::json(v.substr(0, 120))
              .dump(-1, ' ', true, nlohmann::json::error_handler_t::replace)));
    return pass(handler.key(v));
  }
  bool end_object() override {
    --depth;
    keys.pop_back();
    return pass(handler.endObject());
  }
  bool start_array(std::size_t) override {
    if (++depth > maxDepth)
      return tooDeep();
    return pass(handler.beginArray());
  }
  bool end_array() override {
    --depth;
    return pass(handler.endArray());
  }
  bool parse_error(std::size_t position, const std::string &,
                   const nlohmann::json::exception &error) override {
    syntax = true;
    syntaxByte = position;
    message = shorten(error);
    return false;
  }

private:
  bool stop(std::string text) {
    message = std::move(text);
    return false;
  }
  bool tooDeep() {
    return stop(
        fmt::format("more than {} nested arrays and objects", maxDepth));
  }
  bool pass(std::string text) {
    if (text.empty())
      return true;
    byHandler = true;
    return stop(std::move(text));
  }
  /// Of the parser's message only what is about the text: the place is ours.
  static std::string shorten(const nlohmann::json::exception &error) {
    std::string text = error.what();
    size_t begin = text.find("syntax error");
    if (begin == std::string::npos)
      return "invalid JSON: a number is too large";
    size_t last = text.find("; last read:", begin);
    std::string rest = text.substr(begin, 200);
    if (last != std::string::npos) {
      size_t expected = text.find("; expected", last);
      rest = text.substr(begin, last - begin);
      if (expected != std::string::npos)
        rest += text.substr(expected, 100);
    }
    return "invalid JSON: " + rest;
  }

  size_t maxDepth;
  JsonHandler &handler;
  size_t depth = 0;
  std::vector<std::unordered_set<std::string>> keys;
};

/// Builds the tree of parseJson.
class TreeBuilder : public JsonHandler {
public:
  nlohmann::json root;

  std::string null() override { return add(nullptr); }
  std::string boolean(bool v) override { return add(v); }
  std::string integer(int64_t v) override { return add(v); }
  std::string natural(uint64_t v) override { return add(v); }
  std::string real(double v) override { return add(v); }
  std::string string(std::string &v) override { return add(std::move(v)); }
  std::string key(std::string &v) override {
    member = &(*open.back())[std::move(v)];
    return {};
  }
  std::string beginObject() override { return push(nlohmann::json::object()); }
  std::string beginArray() override { return push(nlohmann::json::array()); }
  std::string endObject() override { return pop(); }
  std::string endArray() override { return pop(); }

private:
  nlohmann::json *place(nlohmann::json value) {
    if (open.empty()) {
      root = std::move(value);
      return &root;
    }
    if (open.back()->is_array()) {
      open.back()->push_back(std::move(value));
      return &open.back()->back();
    }
    *member = std::move(value);
    return member;
  }
  std::string add(nlohmann::json value) {
    place(std::move(value));
    return {};
  }
  std::string push(nlohmann::json value) {
    open.push_back(place(std::move(value)));
    return {};
  }
  std::string pop() {
    open.pop_back();
    return {};
  }

  std::vector<nlohmann::json *> open; // parents do not move while open
  nlohmann::json *member = nullptr;
};

/// `where:line:col` of a byte.
std::string placeOf(std::string_view text, size_t offset,
                    const std::string &where) {
  offset = std::min(offset, text.size());
  size_t line = 1, begin = 0;
  for (size_t i = 0; i < offset; ++i)
    if (text[i] == '\n') {
      ++line;
      begin = i + 1;
    }
  return fmt::format("{}:{}:{}", where, line, offset - begin + 1);
}

} // namespace

Status parseJsonEvents(std::string_view text, const std::string &where,
                       size_t maxDepth, int code, JsonHandler &handler) {
  if (text.substr(0, 3) == "\xEF\xBB\xBF")
    return makeError(jsonCode, where + ":1:1",
                     "invalid JSON: it begins with a byte order mark");
  // The parser would take a NUL for the end of the text.
  if (size_t nul = text.find('\0'); nul != std::string_view::npos)
    return makeError(jsonCode, placeOf(text, nul, where),
                     "invalid JSON: a NUL character");
  const char *progress = text.data();
  CountingIterator begin(text.data(), &progress);
  CountingIterator end(text.data() + text.size(), &progress);
  Events events(maxDepth, handler);
  bool good;
  try {
    good = nlohmann::json::sax_parse(begin, end, &events);
  } catch (const std::exception &error) {
    return makeError(jsonCode, where, "cannot read the JSON: {}", error.what());
  }
  if (good)
    return Status::success();
  size_t offset = static_cast<size_t>(progress - text.data());
  if (events.syntax)
    offset = events.syntaxByte;
  return makeError(events.byHandler ? code : jsonCode,
                   placeOf(text, offset ? offset - 1 : 0, where), "{}",
                   events.message);
}

Expected<nlohmann::json> parseJson(std::string_view text,
                                   const std::string &where, size_t maxDepth) {
  TreeBuilder tree;
  QRT_RETURN_IF_ERROR(parseJsonEvents(text, where, maxDepth, jsonCode, tree));
  return std::move(tree.root);
}

Expected<nlohmann::json> readJsonFile(const std::string &path,
                                      uint64_t maxBytes, size_t maxDepth) {
  // O_NONBLOCK: opening a pipe without a writer must not hang.
  int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0)
    return makeError(3001, path, "cannot open the file: {}",
                     std::strerror(errno));
  struct stat info;
  if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
    close(fd);
    return makeError(3001, path, "not a regular file");
  }
  if (static_cast<uint64_t>(info.st_size) > maxBytes) {
    close(fd);
    return makeError(3001, path, "the file has {} bytes; at most {} are read",
                     info.st_size, maxBytes);
  }
  std::string text(static_cast<size_t>(info.st_size), '\0');
  size_t done = 0;
  while (done < text.size()) {
    ssize_t got = read(fd, text.data() + done, text.size() - done);
    if (got < 0 && errno == EINTR)
      continue;
    if (got <= 0) {
      Error error =
          makeError(3001, path, "cannot read: {}",
                    got < 0 ? std::strerror(errno) : "the file became shorter");
      close(fd);
      return error;
    }
    done += static_cast<size_t>(got);
  }
  close(fd);
  return parseJson(text, path, maxDepth);
}

std::string jsonText(const nlohmann::json &value, int indent) {
  return value.dump(indent, ' ', false,
                    nlohmann::json::error_handler_t::replace);
}

} // namespace qrt
