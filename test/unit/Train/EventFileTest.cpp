//===- EventFileTest.cpp - Tests of TensorBoard's format ----------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/train/EventFile.h"
#include "runtime/train/Outliers.h"

#include <cmath>
#include <limits>

#include <gtest/gtest.h>

using namespace qrt;

namespace {

TEST(EventFile, ChecksumIsCastagnolis) {
  // The check value of the CRC catalogue, and those of RFC 3720, B.4.
  EXPECT_EQ(crc32c("123456789"), 0xe3069283u);
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8a9136aau);
  EXPECT_EQ(crc32c(std::string(32, '\xff')), 0x62a8ab43u);
}

TEST(EventFile, ScalarRecordByteByByte) {
  std::string record = eventScalars(2.0, 300, {{"a", 1.5f}});
  std::string event("\x09\0\0\0\0\0\0\0\x40" // wall_time = 2
                    "\x10\xac\x02"           // step = 300
                    "\x2a\x0a\x0a\x08\x0a\x01"
                    "a"                 // summary.value.tag
                    "\x15\0\0\xc0\x3f", // simple_value = 1.5
                    24);
  ASSERT_EQ(record.size(), 8 + 4 + event.size() + 4);
  EXPECT_EQ(record.substr(0, 8), std::string("\x18\0\0\0\0\0\0\0", 8));
  EXPECT_EQ(record.substr(12, event.size()), event);
}

TEST(Outliers, ScoresAgainstTheWindow) {
  OutlierWindow window;
  for (size_t i = 0; i < OutlierWindow::kLeast; ++i) {
    EXPECT_FALSE(window.score(3));
    window.add(i % 2 ? 1 : 3); // mean 2, deviation 1
  }
  EXPECT_DOUBLE_EQ(*window.score(5), 3);
  EXPECT_DOUBLE_EQ(*window.score(0), -2);
  EXPECT_TRUE(std::isinf(*window.score(std::nan(""))));
  window.add(std::numeric_limits<double>::infinity()); // is not remembered
  OutlierWindow copy;
  copy.fromJson(nlohmann::json::parse(window.toJson().dump()));
  EXPECT_EQ(copy.score(4.1), window.score(4.1));
  for (size_t i = 0; i < OutlierWindow::kLength; ++i)
    window.add(7);
  EXPECT_FALSE(window.score(8)); // no deviation left
}

} // namespace
