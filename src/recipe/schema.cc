#include "recipe/schema.h"

#include "compress/method.h"
#include "eval/evaluation.h"
#include "recipe/recipe.h"

namespace penjing {

namespace {

Json typed(const char* type, const char* description) {
  return Json::object({{"type", type}, {"description", description}});
}

Json schema_of(const ParamInfo& info) {
  Json schema = Json::object();
  switch (info.type) {
    case ParamInfo::Type::kBool:
      schema.set("type", "boolean");
      break;
    case ParamInfo::Type::kInt:
    case ParamInfo::Type::kDouble:
      schema.set("type", info.type == ParamInfo::Type::kInt ? "integer" : "number");
      if (info.min != info.max) {
        schema.set("minimum", info.min);
        schema.set("maximum", info.max);
      }
      break;
    case ParamInfo::Type::kString:
    case ParamInfo::Type::kPath:
      schema.set("type", "string");
      break;
    case ParamInfo::Type::kJson:
      break;
    case ParamInfo::Type::kChoice: {
      Json choices = Json::array();
      for (const auto& choice : info.choices) choices.push_back(choice);
      schema.set("enum", choices);
      break;
    }
    case ParamInfo::Type::kStringList:
    case ParamInfo::Type::kPathList:
      schema.set("type", "array");
      schema.set("items", Json::object({{"type", "string"}}));
      break;
  }
  schema.set("default", info.default_value);
  schema.set("description", info.help);
  return schema;
}

Json closed_object(Json properties, std::initializer_list<const char*> required) {
  Json names = Json::array();
  for (const char* name : required) names.push_back(name);
  return Json::object({{"type", "object"},
                       {"properties", std::move(properties)},
                       {"required", names},
                       {"additionalProperties", false}});
}

Json step_schema() {
  Json forms = Json::array();
  for (const Method* method : all_methods()) {
    Json properties = Json::object({{"method", Json::object({{"const", method->name}})}});
    properties.set("start", typed("string",
                                  "what it begins with: \"model\", or \"steps.N\" for the result of "
                                  "an earlier step, from 0; default: of the step before"));
    for (const ParamInfo& info : method->params()) properties.set(info.name, schema_of(info));
    Json form = closed_object(std::move(properties), {"method"});
    form.set("description", method->summary);
    forms.push_back(form);
  }
  return Json::object({{"oneOf", forms}});
}

Json task_schema() {
  Json names = Json::array();
  for (const Task* task : all_tasks()) names.push_back(task->name);
  return closed_object(
      Json::object({{"task", Json::object({{"enum", names}})},
                    {"data", typed("string", "a file, or a folder with train, dev and test")},
                    {"split", typed("string", "default: test, or dev when test has no labels")},
                    {"limit", typed("integer", "the first examples only; 0: all")}}),
      {"task", "data"});
}

Json goal_schema() {
  Json types = Json::array();
  for (const auto type :
       {Goal::Type::kThreshold, Goal::Type::kMaxDegradation, Goal::Type::kPercentMinImprovement})
    types.push_back(to_string(type));
  return closed_object(
      Json::object(
          {{"metric",
            typed("string", "size_ratio, speed_ratio, cosine_mean, cosine_min, top1, or TASK.METRIC")},
           {"type", Json::object({{"enum", types}})},
           {"value", typed("number", "what must be reached")}}),
      {"metric", "type", "value"});
}

Json list_of(Json items, const char* description) {
  return Json::object({{"type", "array"}, {"items", std::move(items)}, {"description", description}});
}

}  // namespace

Json recipe_schema() {
  Json calibration = closed_object(
      Json::object(
          {{"texts", typed("string", "a text a line; default: sentences that ship with Penjing")},
           {"samples", typed("integer", "how many of them at most")},
           {"statistics", typed("string", "a file of `penjing calibrate`, to use instead of texts")}}),
      {});
  Json schema = closed_object(
      Json::object(
          {{"extends", typed("string", "another recipe, whose keys these replace")},
           {"model", typed("string", "folder, repository id or name of the model to start from")},
           {"data", typed("string", "texts to compare the models on, one a line")},
           {"data_limit", typed("integer", "the first texts only")},
           {"calibration", calibration},
           {"steps",
            list_of(step_schema(),
                    "methods, each applied to the result of the one before, or of another by its start")},
           {"eval", list_of(task_schema(), "scores to take after every step")},
           {"goals", list_of(goal_schema(), "what the last step must reach; else exit status 3")},
           {"seed", typed("integer", "of the resampling behind intervals")}}),
      {"model", "steps"});
  schema.set("$schema", "https://json-schema.org/draft/2020-12/schema");
  schema.set("title", "Penjing recipe");
  return schema;
}

}  // namespace penjing
