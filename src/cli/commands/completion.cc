// completion: a script for bash or zsh that completes verbs, flags, their values and model names. It is made
// from the tree of commands that parses the arguments, so that it can offer nothing that would not be
// understood.
#include <CLI/CLI.hpp>
#include <algorithm>

#include "base/error.h"
#include "base/parse.h"
#include "base/version.h"
#include "cli/command.h"
#include "eval/evaluation.h"

namespace penjing::cli {

namespace {

struct Options {
  std::string shell;
  const CLI::App* self = nullptr;
};
Options options;

void declare(CLI::App& app) {
  options.self = &app;
  app.add_option("SHELL", options.shell, "bash or zsh")
      ->required()
      ->check(CLI::IsMember({std::string("bash"), std::string("zsh")}));
}

enum class Value { kNone, kListed, kNumber, kPath };

// One option or positional of a verb.
struct Argument {
  std::vector<std::string> names;  // "--length", "-k"; empty for a positional
  std::string positional, help;
  Value value = Value::kNone;
  std::vector<std::string> values;  // kListed
  bool repeats = false;
};

struct Verb {
  std::string name, summary;
  std::vector<Argument> arguments;
};

// Values that the option lists: CLI11's check writes "TEXT:{a,b}" as the type, the parameters of methods end
// their help in "(a|b)". Words that the shells would take apart are not offered.
std::vector<std::string> listed_values(const CLI::Option& option) {
  const std::string type = option.get_type_name(), help = option.get_description();
  std::vector<std::string> values;
  const auto open = type.find('{'), close = type.find('}');
  if (open != std::string::npos && close != std::string::npos && open < close) {
    values = split_at(type.substr(open + 1, close - open - 1), ',');
  } else if (help.ends_with(')') && help.rfind('(') != std::string::npos) {
    const auto from = help.rfind('(') + 1;
    values = split_at(help.substr(from, help.size() - 1 - from), '|');
    if (values.size() < 2) values.clear();
  }
  if (option.check_lname("task")) {
    for (const Task* task : all_tasks()) values.emplace_back(task->name);
  }
  const bool plain = std::all_of(values.begin(), values.end(), [](const std::string& value) {
    return std::all_of(value.begin(), value.end(), [](unsigned char c) {
      return std::isalnum(c) != 0 || c == '-' || c == '_' || c == '.';
    });
  });
  return plain ? values : std::vector<std::string>{};
}

Argument describe(const CLI::Option& option) {
  Argument argument;
  for (const auto& name : option.get_lnames()) argument.names.push_back("--" + name);
  for (const auto& name : option.get_snames()) argument.names.push_back("-" + name);
  if (argument.names.empty()) argument.positional = option.get_name();
  argument.help = option.get_description();
  argument.repeats = option.get_items_expected_max() > 1;
  const std::string type = option.get_type_name();
  if (option.get_items_expected_max() == 0) {
    argument.value = Value::kNone;
  } else if (argument.values = listed_values(option); !argument.values.empty()) {
    argument.value = Value::kListed;
  } else {
    const bool number = type.starts_with("INT") || type.starts_with("UINT") || type.starts_with("FLOAT");
    argument.value = number ? Value::kNumber : Value::kPath;
  }
  return argument;
}

std::vector<Verb> list_verbs(const CLI::App& program) {
  std::vector<Verb> verbs;
  for (const CLI::App* app : program.get_subcommands([](const CLI::App*) { return true; })) {
    Verb verb{app->get_name(), app->get_description(), {}};
    for (const CLI::Option* option : app->get_options()) {
      if (!option->get_group().empty()) verb.arguments.push_back(describe(*option));  // "": hidden
    }
    verbs.push_back(std::move(verb));
  }
  return verbs;
}

std::string join(const std::vector<std::string>& words, const char* separator) {
  std::string text;
  for (const auto& word : words) text += (text.empty() ? "" : separator) + word;
  return text;
}

// Patterns of a case statement: "inspect --length" and the like, for all names of an option.
std::string case_patterns(const Verb& verb, const Argument& argument) {
  std::string text;
  for (const auto& name : argument.names) {
    text += fmt::format("{}\"{} {}\"", text.empty() ? "" : "|", verb.name, name);
  }
  return text;
}

constexpr const char* kBashHead = R"sh(# bash completion for penjing {0}, made by `penjing completion bash`

# Adds the names in the cache that begin with $1. Not by compgen -W, which would expand what is in a name.
_penjing_add_models() {{
  local entry
  for entry in "${{PENJING_CACHE:-${{XDG_CACHE_HOME:-$HOME/.cache}}/penjing}}"/models/*/; do
    entry=${{entry%/}}
    [[ -d $entry && ${{entry##*/}} == "$1"* ]] && COMPREPLY+=("${{entry##*/}}")
  done
}}

_penjing() {{
  local current=${{COMP_WORDS[COMP_CWORD]}} previous=${{COMP_WORDS[COMP_CWORD - 1]}} verb= flags= i
  COMPREPLY=()
  # "--flag=value" arrives as three words.
  [[ $current == "=" ]] && current=
  [[ $previous == "=" ]] && previous=${{COMP_WORDS[COMP_CWORD - 2]}}
  for ((i = 1; i < COMP_CWORD; ++i)); do
    [[ ${{COMP_WORDS[i]}} != -* ]] && verb=${{COMP_WORDS[i]}} && break
  done
  if [[ -z $verb ]]; then
    mapfile -t COMPREPLY < <(compgen -W '{1} --help --version' -- "$current")
    return
  fi
  case "$verb $previous" in
)sh";

constexpr const char* kBashTail = R"sh(  esac
  # A model of the cache, a folder or a file.
  compopt -o filenames 2>/dev/null
  mapfile -t COMPREPLY < <(compgen -f -- "$current")
  _penjing_add_models "$current"
}

complete -F _penjing penjing
)sh";

std::string bash_script(const std::vector<Verb>& verbs) {
  std::vector<std::string> names;
  for (const Verb& verb : verbs) names.push_back(verb.name);
  std::string text = fmt::format(fmt::runtime(kBashHead), version(), join(names, " "));
  std::string numbers;
  for (const Verb& verb : verbs) {
    for (const Argument& argument : verb.arguments) {
      if (argument.names.empty()) continue;
      const std::string patterns = case_patterns(verb, argument);
      if (argument.value == Value::kListed) {
        text += fmt::format(
            "    {})\n      mapfile -t COMPREPLY < <(compgen -W '{}' -- \"$current\")\n      return ;;\n",
            patterns, join(argument.values, " "));
      } else if (argument.value == Value::kNumber) {
        numbers += (numbers.empty() ? "" : "|\\\n    ") + patterns;
      }
    }
  }
  if (!numbers.empty()) text += fmt::format("    {})\n      return ;;  # a number\n", numbers);
  text += "  esac\n  case $verb in\n";
  for (const Verb& verb : verbs) {
    std::vector<std::string> flags;
    for (const Argument& argument : verb.arguments) {
      flags.insert(flags.end(), argument.names.begin(), argument.names.end());
    }
    text += fmt::format("    {}) flags='{}' ;;\n", verb.name, join(flags, " "));
  }
  text += "  esac\n";
  text += R"sh(  if [[ $current == -* ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$flags" -- "$current")
    return
  fi
  case $verb in
)sh";
  for (const Verb& verb : verbs) {
    for (const Argument& argument : verb.arguments) {
      if (!argument.names.empty() || argument.value != Value::kListed) continue;
      text += fmt::format(
          "    {})\n      mapfile -t COMPREPLY < <(compgen -W '{}' -- \"$current\")\n      return ;;\n",
          verb.name, join(argument.values, " "));
    }
  }
  return text + kBashTail;
}

// Inside single quotes of a zsh script.
std::string quote_zsh(const std::string& text) {
  std::string quoted;
  for (const char c : text) quoted += c == '\'' ? "'\\''" : std::string(1, c);
  return quoted;
}

// The help of an option inside the brackets of an _arguments spec.
std::string bracket_zsh(const std::string& text) {
  std::string escaped;
  for (const char c : text) {
    if (c == '[' || c == ']' || c == '\\' || c == ':') escaped += '\\';
    escaped += c == '\n' ? ' ' : c;
  }
  return quote_zsh(escaped);
}

std::string value_spec_zsh(const Argument& argument) {
  switch (argument.value) {
    case Value::kNone:
      return "";
    case Value::kListed:
      return fmt::format(":value:({})", join(argument.values, " "));
    case Value::kNumber:
      return ":number: ";
    case Value::kPath:
      return ":model or file:_penjing_paths";
  }
  return "";
}

constexpr const char* kZshHead = R"sh(#compdef penjing
# zsh completion for penjing {}, made by `penjing completion zsh`: put it as _penjing in a folder of $fpath

# A model of the cache, a folder or a file.
_penjing_paths() {{
  local -a models
  models=("${{PENJING_CACHE:-${{XDG_CACHE_HOME:-$HOME/.cache}}/penjing}}"/models/*(N-/:t))
  compadd -a models
  _files
}}

_penjing() {{
  local curcontext=$curcontext state line
  local -a verbs
  verbs=(
)sh";

std::string zsh_script(const std::vector<Verb>& verbs) {
  std::string text = fmt::format(fmt::runtime(kZshHead), version());
  for (const Verb& verb : verbs) {
    std::string summary;
    for (const char c : verb.summary) summary += c == ':' ? "\\:" : std::string(1, c);
    text += fmt::format("    '{}:{}'\n", verb.name, quote_zsh(summary));
  }
  text += R"sh(  )
  _arguments -C '(- *)--help[help]' '(- *)--version[version]' '1:command:->verb' '*::argument:->rest'
  case $state in
    verb) _describe -t commands command verbs ;;
    rest)
      case $line[1] in
)sh";
  for (const Verb& verb : verbs) {
    text += fmt::format("        {})\n          _arguments", verb.name);
    for (const Argument& argument : verb.arguments) {
      const std::string value = value_spec_zsh(argument);
      for (const auto& name : argument.names) {
        const char* const equals = argument.value != Value::kNone && name.starts_with("--") ? "=" : "";
        text += fmt::format(" \\\n            '{}{}{}[{}]{}'", argument.repeats ? "*" : "", name, equals,
                            bracket_zsh(argument.help), value);
      }
      if (argument.names.empty()) {
        text += fmt::format(" \\\n            '{}{}'", argument.repeats ? "*:" : ":", value.substr(1));
      }
    }
    text += "\n          ;;\n";
  }
  return text + R"sh(      esac
      ;;
  esac
}

_penjing "$@"
)sh";
}

int run(const CommonOptions& common) {
  const auto verbs = list_verbs(*options.self->get_parent());
  const std::string script = options.shell == "bash" ? bash_script(verbs) : zsh_script(verbs);
  if (common.json) {
    print_json(Json::object({{"shell", options.shell}, {"script", script}}));
  } else {
    print_text(script);
  }
  return kDone;
}

}  // namespace

extern const Command completion_command;
const Command completion_command = {
    "completion", "a completion script for bash or zsh",
    "  source <(penjing completion bash)\n"
    "  penjing completion bash > ~/.local/share/bash-completion/completions/penjing\n"
    "  penjing completion zsh > ~/.zfunc/_penjing",
    declare, run};

}  // namespace penjing::cli
