//===- ReportCommand.cpp - qwen-rt plot and compare -----------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/core/Json.h"
#include "runtime/report/Chart.h"
#include "runtime/weights/Safetensors.h"
#include "tools/qwen-rt/Command.h"

#include <cstdio>
#include <filesystem>

using namespace qrt;
namespace fs = std::filesystem;

namespace {

Expected<std::vector<RunRecord>>
readRuns(const std::vector<std::string> &paths) {
  std::vector<RunRecord> runs;
  for (const std::string &path : paths) {
    QRT_ASSIGN_OR_RETURN(RunRecord run, readRun(path));
    runs.push_back(std::move(run));
  }
  return runs;
}

struct PlotOptions {
  std::vector<std::string> runs;
  std::string output;
  ChartOptions chart;
};

Expected<int> runPlot(const PlotOptions &options, const CommonOptions &common) {
  QRT_ASSIGN_OR_RETURN(std::vector<RunRecord> runs, readRuns(options.runs));
  std::string output = options.output;
  std::error_code failed;
  if (output.empty())
    output = runs.size() == 1 && fs::is_directory(options.runs[0], failed)
                 ? (fs::path(options.runs[0]) / "plot").string()
                 : "plot";
  Drawing drawing = drawRuns(runs, options.chart);
  std::string svg = output + ".svg", png = output + ".png";
  QRT_RETURN_IF_ERROR(writeFileAtomically(svg, toSvg(drawing)));
  QRT_RETURN_IF_ERROR(writeFileAtomically(png, toPng(drawing)));
  if (common.json)
    std::printf("%s\n", jsonText({{"svg", svg}, {"png", png}}).c_str());
  else
    std::printf("wrote %s and %s\n", svg.c_str(), png.c_str());
  return 0;
}

} // namespace

void qrt::addPlotCommand(CLI::App &app, CommonOptions &common) {
  auto options = std::make_shared<PlotOptions>();
  CLI::App *command =
      addCommand(app, common, "plot", "draw the curves of training runs",
                 "  qwen-rt plot runs/tiny\n"
                 "  qwen-rt plot runs/a runs/b -o compared --x tokens\n");
  command
      ->add_option("RUN", options->runs,
                   "directories of runs, or their metrics.jsonl")
      ->required();
  command->add_option("-o,--output", options->output,
                      "name of the files without .svg and .png (default: "
                      "RUN/plot, of several runs ./plot)");
  command->add_option("--x", options->chart.x, "what the curves are drawn over")
      ->check(CLI::IsMember({"step", "tokens", "seconds"}))
      ->capture_default_str();
  command
      ->add_option("--smooth", options->chart.smooth,
                   "weight of the past in the training loss that is drawn")
      ->check(CLI::Range(0.0, 0.9999))
      ->capture_default_str();
  addJsonOption(*command, common);
  onRun(*command, common,
        [options, &common] { return runPlot(*options, common); });
}

void qrt::addCompareCommand(CLI::App &app, CommonOptions &common) {
  auto paths = std::make_shared<std::vector<std::string>>();
  CLI::App *command =
      addCommand(app, common, "compare", "print a table of training runs",
                 "  qwen-rt compare runs/*\n"
                 "  qwen-rt compare runs/a runs/b --json\n");
  command
      ->add_option("RUN", *paths, "directories of runs, or their metrics.jsonl")
      ->required();
  addJsonOption(*command, common);
  onRun(*command, common, [paths, &common]() -> Expected<int> {
    QRT_ASSIGN_OR_RETURN(std::vector<RunRecord> runs, readRuns(*paths));
    std::string text =
        common.json ? jsonText(compareRuns(runs)) + "\n" : compareTable(runs);
    std::fputs(text.c_str(), stdout);
    return 0;
  });
}
