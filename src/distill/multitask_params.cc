#include "distill/multitask_params.h"

#include <algorithm>

#include "base/error.h"
#include "base/parse.h"
#include "compress/params.h"

namespace penjing::distill {

namespace {

constexpr const char* kNoTeacher = "none";

std::vector<std::string> one_each(const std::string& text, std::size_t tasks, const char* param) {
  std::vector<std::string> items = split_at(text, ',');
  if (items.size() != tasks)
    fail(ErrorKind::kInput, "{} \"{}\": {} for {} tasks", param, text, items.size(), tasks);
  return items;
}

// A name is a folder's and a part of parameters' names.
void require_name(const std::string& name, std::span<const std::string> names) {
  const auto plain = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
  };
  if (name.empty() || !std::all_of(name.begin(), name.end(), plain))
    fail(ErrorKind::kInput, "names: \"{}\"; wanted letters, digits, - and _", name);
  if (std::count(names.begin(), names.end(), name) > 1)
    fail(ErrorKind::kInput, "two tasks are called {}: say --names", name);
}

}  // namespace

MultitaskSettings MultitaskParams::settings() const {
  const std::vector<std::string> kinds = split_at(tasks, ',');
  if (tasks.empty() || kinds.size() < 2) fail(ErrorKind::kInput, "tasks \"{}\": wanted two or more", tasks);
  if (data.size() != kinds.size())
    fail(ErrorKind::kInput, "data: {} for {} tasks", data.size(), kinds.size());
  const auto called = names.empty() ? kinds : one_each(names, kinds.size(), "names");
  const auto teachers = teacher.empty() ? std::vector<std::string>(kinds.size(), kNoTeacher)
                                        : one_each(teacher, kinds.size(), "teacher");
  for (const auto& [name, _] : of_task.as_object("of_task")) {
    if (std::find(called.begin(), called.end(), name) == called.end())
      fail(ErrorKind::kInput, "of_task: there is no task {}", name);
  }
  MultitaskSettings settings;
  settings.size_exponent = size_exponent;
  for (std::size_t i = 0; i < kinds.size(); ++i) {
    require_name(called[i], called);
    TaskParams own = common;
    ParamLister lister;  // what holds for all is what a task has where it says nothing
    own.visit(lister);
    const Json* otherwise = of_task.find(called[i]);
    const Json resolved = resolve_params("of_task: " + called[i], lister.infos,
                                         otherwise == nullptr ? Json::object() : *otherwise);
    ParamReader reader(resolved);
    own.visit(reader);
    own.distill.training.task = kinds[i];
    own.distill.training.data = data[i];
    TaskOfSeveral& task = settings.tasks.emplace_back();
    task.name = called[i];
    if (teachers[i] == kNoTeacher) {
      task.distill.training = own.distill.training.settings();
    } else {
      own.distill.teacher = teachers[i];
      task.distill = own.distill.settings();
    }
  }
  settings.training = settings.tasks.front().distill.training;
  return settings;
}

}  // namespace penjing::distill
