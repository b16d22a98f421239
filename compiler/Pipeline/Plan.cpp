//===- Plan.cpp - What qwenc --plan says ----------------------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "compiler/Pipeline/Plan.h"

#include <map>
#include <string>
#include <vector>

#include "llvm/Support/FormatVariadic.h"

namespace json = llvm::json;

json::Object qwen::makePlan(const json::Object &manifest) {
  json::Object plan{
      {"model", *manifest.get("name")},
      {"parameters", *manifest.get("num_parameters")},
      {"parameters_embedding", *manifest.get("num_embedding_parameters")},
      {"flops_per_token", *manifest.get("flops_per_token")},
      {"mesh", *manifest.get("mesh")},
      {"device", *manifest.get("memory")},
      {"collectives", *manifest.get("collectives")}};
  if (const json::Value *replication = manifest.get("replication"))
    plan["replication"] = *replication;
  return plan;
}

static std::string withUnit(int64_t bytes) {
  static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  double value = bytes;
  unsigned unit = 0;
  for (; value >= 1024 && unit < 4; ++unit)
    value /= 1024;
  return llvm::formatv(unit ? "{0:f2} {1}" : "{0:f0} {1}", value, units[unit])
      .str();
}

static std::string withCommas(int64_t number) {
  std::string text = std::to_string(number);
  for (int64_t at = static_cast<int64_t>(text.size()) - 3; at > 0; at -= 3)
    text.insert(at, ",");
  return text;
}

/// `; copies: tensor 4.2 %`: the shares of the bytes of a device that are
/// copies of what other devices hold.
static std::string copiesOf(const json::Object &replication, double devices,
                            double bytes) {
  std::string text;
  for (const auto &[axis, count] : *replication.getObject("copies")) {
    double share = *count.getAsInteger() / (devices * bytes);
    if (share > 0)
      text +=
          llvm::formatv("{0} {1} {2:f1} %", text.empty() ? "; copies:" : ",",
                        axis.str(), 100 * share)
              .str();
  }
  return text;
}

void qwen::printPlan(const json::Object &plan, llvm::raw_ostream &os) {
  auto line = [&](llvm::StringRef name, const std::string &value) {
    os << llvm::formatv("{0,-24}{1,22}\n", name, value);
  };
  os << *plan.getString("model") << '\n';
  line("parameters", withCommas(*plan.getInteger("parameters")));
  line("  in lookup tables",
       withCommas(*plan.getInteger("parameters_embedding")));
  const json::Object &flops = *plan.getObject("flops_per_token");
  line("FLOPs/token forward", withCommas(*flops.getInteger("forward")));
  line("  train", withCommas(*flops.getInteger("train")));
  line("  train, causal", withCommas(*flops.getInteger("train_causal")));
  std::map<std::string, int64_t> axes;
  for (const auto &[axis, size] : *plan.getObject("mesh"))
    axes[axis.str()] = *size.getAsInteger();
  std::string mesh;
  int64_t devices = 1;
  for (const auto &[axis, size] : axes) {
    mesh += (mesh.empty() ? "" : ",") + axis + "=" + std::to_string(size);
    devices *= size;
  }
  line("mesh", mesh);
  const json::Object &device = *plan.getObject("device");
  struct Kind {
    const char *name;
    std::vector<const char *> parts;
  };
  for (const Kind &kind :
       {Kind{"train",
             {"parameters", "gradients", "optimizer", "activations", "packed",
              "workspace"}},
        Kind{"infer", {"parameters", "packed", "kv_cache", "workspace"}}}) {
    const json::Object &bytes = *device.getObject(kind.name);
    line(std::string(kind.name) + ": peak bytes a device",
         withUnit(*bytes.getInteger("peak_bytes")));
    const json::Object *all = plan.getObject("replication");
    for (const char *part : kind.parts) {
      int64_t local = *bytes.getInteger(part);
      const json::Object *mine =
          all ? all->getObject(kind.name)->getObject(part) : nullptr;
      std::string note;
      if (mine && local)
        note = "  of " + withUnit(*mine->getInteger("global")) +
               copiesOf(*mine, devices, local);
      os << llvm::formatv("{0,-24}{1,22}{2}\n", std::string("  ") + part,
                          withUnit(local), note);
    }
  }
  line("host", withUnit(*device.getInteger("host")));
  const json::Array &collectives = *plan.getArray("collectives");
  if (collectives.empty())
    os << "no collectives\n";
  for (const json::Value &value : collectives) {
    const json::Object &item = *value.getAsObject();
    std::string name =
        (*item.getString("entry") + ": " + *item.getString("kind") + " over ")
            .str();
    for (const json::Value &axis : *item.getArray("axes"))
      name += (name.back() == ' ' ? "" : ",") + axis.getAsString()->str();
    os << llvm::formatv("{0,-44} {1,6} x, {2}\n", name,
                        *item.getInteger("count"),
                        withUnit(*item.getInteger("bytes")));
  }
}
