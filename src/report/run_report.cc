#include "report/run_report.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/text_table.h"
#include "base/version.h"

namespace penjing {

namespace {

std::vector<const StepState*> all_models(const RunResult& result) {
  std::vector<const StepState*> models = {&result.state.first};
  for (const StepState& step : result.state.steps) models.push_back(&step);
  return models;
}

std::string number(const std::optional<double>& value) {
  return value.has_value() ? fmt::format("{:.4f}", *value) : "";
}

std::vector<std::string> score_names(const RunResult& result) {
  std::vector<std::string> names;
  for (const auto& entry : all_models(result).back()->measured->scores) names.push_back(entry.first);
  return names;
}

struct Cells {
  std::vector<std::string> header;
  std::vector<std::vector<std::string>> rows;
};

Cells cells_of(const RunResult& result) {
  bool cosine = false, top1 = false;
  for (const StepState* model : all_models(result)) {
    cosine = cosine || model->measured->agreement.cosine_mean.has_value();
    top1 = top1 || model->measured->agreement.top1.has_value();
  }
  Cells cells;
  cells.header = {"step", "weights", "smaller", "32 tokens", "faster"};
  if (cosine) cells.header.insert(cells.header.end(), {"cosine", "worst"});
  if (top1) cells.header.emplace_back("top-1");
  for (const auto& name : score_names(result)) cells.header.push_back(name);
  for (const StepState* model : all_models(result)) {
    const Measurement& m = *model->measured;
    std::vector<std::string> row = {
        model->name, format_bytes(static_cast<double>(m.bytes)), fmt::format("{:.2f}x", m.size_ratio),
        fmt::format("{:.2f} ms", m.speed.milliseconds), fmt::format("{:.2f}x", m.speed.ratio)};
    if (cosine) {
      row.push_back(number(m.agreement.cosine_mean));
      row.push_back(number(m.agreement.cosine_min));
    }
    if (top1) row.push_back(number(m.agreement.top1));
    for (const auto& name : score_names(result)) {
      const auto score = m.scores.find(name);
      row.push_back(score == m.scores.end() ? "" : fmt::format("{:.4f}", score->second.value));
    }
    cells.rows.push_back(std::move(row));
  }
  return cells;
}

std::string goal_line(const Goal& goal, const GoalResult& result) {
  return fmt::format("goal {} {} {}: {:.4f}, {}", goal.metric, to_string(goal.type), goal.value, result.value,
                     result.met ? "met" : "NOT MET");
}

std::string escape(const std::string& text) {
  std::string safe;
  for (const char c : text) {
    switch (c) {
      case '&':
        safe += "&amp;";
        break;
      case '<':
        safe += "&lt;";
        break;
      case '>':
        safe += "&gt;";
        break;
      case '"':
        safe += "&quot;";
        break;
      default:
        safe += c;
    }
  }
  return safe;
}

// What the plot shows upwards: the first score of a task, else agreement.
struct Quality {
  std::string name;
  std::vector<std::pair<const StepState*, double>> values;  // of the models that were so measured
};

Quality quality_of(const RunResult& result) {
  Quality quality;
  const auto names = score_names(result);
  const TextAgreement& last = all_models(result).back()->measured->agreement;
  quality.name = !names.empty()                 ? names.front()
                 : last.top1.has_value()        ? "top-1 agreement"
                 : last.cosine_mean.has_value() ? "mean cosine"
                                                : "";
  for (const StepState* model : all_models(result)) {
    const Measurement& m = *model->measured;
    std::optional<double> value = last.top1.has_value() ? m.agreement.top1 : m.agreement.cosine_mean;
    if (!names.empty()) {
      const auto score = m.scores.find(names.front());
      value = score == m.scores.end() ? std::nullopt : std::optional(score->second.value);
    }
    if (value.has_value()) quality.values.emplace_back(model, *value);
  }
  return quality;
}

// Size from the left, quality upwards; a point a model.
std::string plot(const RunResult& result) {
  const Quality quality = quality_of(result);
  if (quality.name.empty() || quality.values.empty()) return "";
  constexpr double kWidth = 640, kHeight = 300, kLeft = 70, kBottom = 45, kMargin = 25;
  double largest = 0, low = quality.values.front().second, high = low;
  for (const auto& [model, value] : quality.values) {
    largest = std::max(largest, static_cast<double>(model->measured->bytes));
    low = std::min(low, value);
    high = std::max(high, value);
  }
  const double spread = std::max(high - low, 1e-4), bottom = low - 0.15 * spread, top = high + 0.15 * spread;
  const auto x_of = [&](double bytes) {
    return kLeft + (kWidth - kLeft - kMargin) * bytes / (1.05 * largest);
  };
  const auto y_of = [&](double value) {
    return kMargin + (kHeight - kMargin - kBottom) * (top - value) / (top - bottom);
  };
  std::string svg = fmt::format(
      "<svg viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{} against size\">\n"
      "<path class=\"axis\" d=\"M{} {}V{}H{}\"/>\n",
      kWidth, kHeight, escape(quality.name), kLeft, kMargin, kHeight - kBottom, kWidth - kMargin);
  for (const double value : {low, high}) {
    svg += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"end\">{:.4f}</text>\n", kLeft - 6,
                       y_of(value) + 4, value);
  }
  for (const double share : {0.0, 0.5, 1.0}) {
    svg += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\">{}</text>\n",
                       x_of(share * largest), kHeight - kBottom + 18, format_bytes(share * largest));
  }
  svg += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\">weights</text>\n", kWidth / 2,
                     kHeight - 6);
  svg += fmt::format("<text x=\"{:.1f}\" y=\"14\">{}</text>\n", kLeft, escape(quality.name));
  for (const auto& [model, value] : quality.values) {
    const double x = x_of(static_cast<double>(model->measured->bytes)), y = y_of(value);
    const bool right = x < kWidth - 140;
    svg += fmt::format(
        "<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"5\"/><text x=\"{:.1f}\" y=\"{:.1f}\" "
        "text-anchor=\"{}\">{}</text>\n",
        x, y, right ? x + 9 : x - 9, y + 4, right ? "start" : "end", escape(model->name));
  }
  return svg + "</svg>\n";
}

}  // namespace

std::string run_table(const Recipe& recipe, const RunResult& result) {
  const Cells cells = cells_of(result);
  TextTable table(cells.header, "l" + std::string(cells.header.size() - 1, 'r'));
  for (const auto& row : cells.rows) table.add_row(row);
  std::string text = table.str();
  for (std::size_t i = 0; i < result.goals.size(); ++i)
    text += goal_line(recipe.goals[i], result.goals[i]) + "\n";
  return text;
}

Json run_report(const Recipe& recipe, const RunResult& result) {
  Json steps = Json::array(), goals = Json::array();
  for (const StepState* model : all_models(result)) {
    Json notes = Json::array();
    for (const auto& note : model->notes) notes.push_back(note);
    steps.push_back(Json::object({{"name", model->name},
                                  {"seconds", model->seconds},
                                  {"details", model->details},
                                  {"notes", notes},
                                  {"measured", to_json(*model->measured)}}));
  }
  for (std::size_t i = 0; i < result.goals.size(); ++i) {
    goals.push_back(Json::object({{"metric", recipe.goals[i].metric},
                                  {"type", to_string(recipe.goals[i].type)},
                                  {"wanted", recipe.goals[i].value},
                                  {"value", result.goals[i].value},
                                  {"met", result.goals[i].met}}));
  }
  return Json::object({{"penjing", version()},
                       {"recipe", to_json(recipe)},
                       {"steps", steps},
                       {"goals", goals},
                       {"goals_met", result.goals_met}});
}

std::string run_page(const Recipe& recipe, const RunResult& result) {
  const Cells cells = cells_of(result);
  const std::string title = escape("Penjing: " + std::filesystem::path(recipe.model).filename().string());
  std::string page = "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>" + title +
                     "</title>\n<style>\n"
                     ":root{color-scheme:light dark}\n"
                     "body{font:15px/1.5 system-ui,sans-serif;max-width:60em;margin:2em auto;padding:0 1em}\n"
                     "table{border-collapse:collapse}td,th{padding:.3em .8em;text-align:right;"
                     "border-bottom:1px solid #8886}\n"
                     "td:first-child,th:first-child{text-align:left}\n"
                     "svg{width:100%;max-width:640px;font:12px system-ui,sans-serif;fill:currentColor}\n"
                     ".axis{fill:none;stroke:currentColor;opacity:.5}circle{fill:#3a7d44}\n"
                     ".unmet{color:#c0392b}pre{overflow-x:auto}\n"
                     "</style></head><body>\n<h1>" +
                     title + "</h1>\n<table><tr>";
  for (const auto& name : cells.header) page += "<th>" + escape(name) + "</th>";
  page += "</tr>\n";
  for (const auto& row : cells.rows) {
    page += "<tr>";
    for (const auto& cell : row) page += "<td>" + escape(cell) + "</td>";
    page += "</tr>\n";
  }
  page += "</table>\n" + plot(result);
  for (std::size_t i = 0; i < result.goals.size(); ++i) {
    page += fmt::format("<p{}>{}</p>\n", result.goals[i].met ? "" : " class=\"unmet\"",
                        escape(goal_line(recipe.goals[i], result.goals[i])));
  }
  for (const StepState& step : result.state.steps) {
    for (const auto& note : step.notes) page += "<p>" + escape(step.name + ": " + note) + "</p>\n";
  }
  return page + "<details><summary>Recipe</summary><pre>" + escape(to_json(recipe).dump(2)) +
         "</pre></details>\n<p>penjing " + version() + "</p>\n</body></html>\n";
}

}  // namespace penjing
