"""The seams, proven: in a scratch copy of the tree a compression method and an architecture are added, each by one source
file, one line in a list and one test; both then work in the program, and without its test file configure stops.

Only what the additions touch is compiled, by the copy's own build rules; the rest is linked from this build."""

import array
import base64
import json
import os
import pathlib
import re
import shutil
import struct
import subprocess
import sys
import tempfile

from program import SOURCE, run, skip, write_safetensors

METHOD = r"""// halve: every matrix times 0.5. A toy.
#include "compress/params.h"

namespace penjing {

namespace {

struct Params {
  double factor = 0.5;
  template <class Visitor>
  void visit(Visitor& v) {
    v.number("factor", factor, 0, 1, "what matrices are multiplied with");
  }
};

Model apply(const Model& input, const Json& resolved, MethodContext&, MethodReport& report) {
  const auto params = read_params<Params>(resolved);
  Model model = input;
  int64_t count = 0;
  for (const auto& [name, tensor] : input.tensors) {
    if (tensor.shape.size() != 2) continue;
    std::vector<float> values = read_floats(tensor, name);
    for (float& value : values) value *= static_cast<float>(params.factor);
    model.tensors.set(name, Tensor::from_floats(tensor.shape, values));
    ++count;
  }
  report.details.set("matrices", count);
  return model;
}

}  // namespace

extern const Method toy_halve_method;
const Method toy_halve_method = {"halve", "halve", "matrices times a factor", "A toy.", Needs::kNothing,
                                 list_params<Params>, apply};

}  // namespace penjing
"""
METHOD_TEST = r"""#include <gtest/gtest.h>

#include "compress/method.h"

namespace penjing {

TEST(ToyHalve, IsFoundWithItsParameter) {
  const Method* method = find_method("halve");
  ASSERT_NE(method, nullptr);
  EXPECT_EQ(resolve_params(*method, Json()).dump(), R"({"factor":0.5})");
}

}  // namespace penjing
"""
ARCHITECTURE = r"""// toy: BERT's arithmetic under names of its own.
#include "base/error.h"
#include "model/architectures.h"

namespace penjing {

namespace {

Description describe_toy(const Json& config, const TensorMap&) {
  Description d;
  d.family = "toy";
  d.hidden_size = config_int(config, "width", 1, kMaxWidth);
  d.num_layers = config_int(config, "depth", 0, kMaxLayers);
  d.max_positions = config_int(config, "places", 1, kMaxPositions);
  const int64_t heads = config_int(config, "heads", 1, kMaxWidth), inner = config_int(config, "inner", 1, kMaxWidth);
  const int64_t head_dim = d.hidden_size / heads;
  d.embedding.word = "words";
  d.embedding.vocab_size = config_int(config, "num_words", 1, kMaxVocab);
  d.embedding.width = d.hidden_size;
  d.embedding.token_type = "kinds";
  d.embedding.type_vocab_size = 2;
  d.embedding.position.name = "places";
  d.embedding.position.count = d.max_positions;
  const auto norm = [&](const std::string& name) {
    return NormSpec{name, NormKind::kLayerNorm, d.hidden_size,
                    static_cast<float>(config_double_or(config, "epsilon", 1e-12, 0, 1)), true};
  };
  d.embedding.norm = norm("start");
  int value = 0;
  for (int layer = 0; layer < d.num_layers; ++layer) {
    const LayerWidths widths = layer_widths(config, layer, d.num_layers, {heads, inner});
    const std::string base = fmt::format("stack.{}.", layer);
    if (widths.num_heads > 0) {
      const int64_t all = widths.num_heads * head_dim;
      AttentionSpec attention;
      attention.query = {base + "q", d.hidden_size, all, true};
      attention.key = {base + "k", d.hidden_size, all, true};
      attention.value = {base + "v", d.hidden_size, all, true};
      attention.output = {base + "o", all, d.hidden_size, true};
      attention.num_heads = widths.num_heads;
      attention.head_dim = head_dim;
      attention.scale = attention_scale(head_dim);
      d.blocks.push_back({base + "attend", layer, value, value, NormPlace::kPost, norm(base + "n1"), attention});
      value = static_cast<int>(d.blocks.size());
    }
    if (widths.intermediate_size > 0) {
      FeedForwardSpec feed_forward;
      feed_forward.up = {base + "up", d.hidden_size, widths.intermediate_size, true};
      feed_forward.down = {base + "down", widths.intermediate_size, d.hidden_size, true};
      d.blocks.push_back({base + "feed", layer, value, value, NormPlace::kPost, norm(base + "n2"), feed_forward});
      value = static_cast<int>(d.blocks.size());
    }
  }
  d.output = value;
  return d;
}

}  // namespace

extern const Architecture toy_architecture;
const Architecture toy_architecture = {"toy", "toy.", {"words", "places", "kinds", "start", "stack"}, describe_toy};

}  // namespace penjing
"""
ARCHITECTURE_TEST = r"""#include <gtest/gtest.h>

#include "model/architectures.h"

namespace penjing {

TEST(Toy, IsListed) {
  ASSERT_NE(find_architecture("toy"), nullptr);
  EXPECT_NE(architecture_names().find("toy"), std::string::npos);
}

}  // namespace penjing
"""
ADDED = [
    ("src/compress/methods/toy_halve.cc", METHOD, "src/compress/methods.def", "PENJING_METHOD(toy_halve, compress)",
     "tests/compress/toy_halve_test.cc", METHOD_TEST),
    ("src/model/architectures/toy.cc", ARCHITECTURE, "src/model/architectures.def", "PENJING_ARCHITECTURE(toy)",
     "tests/model/toy_test.cc", ARCHITECTURE_TEST),
]
# What compiles anew: the additions, and the files that read the two lists.
LISTS = ["src/compress/method.cc", "src/model/architectures.cc"]
NAMES = {"attention.self.query": "q", "attention.self.key": "k", "attention.self.value": "v",
         "attention.output.dense": "o", "attention.output.LayerNorm": "n1", "intermediate.dense": "up",
         "output.dense": "down", "output.LayerNorm": "n2"}


def call(*command, cwd=None, status=0):
    done = subprocess.run([str(c) for c in command], cwd=cwd, capture_output=True, text=True)
    if (done.returncode == 0) != (status == 0):
        sys.exit(f"{' '.join(map(str, command))}: exit status {done.returncode}\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
    return done.stdout + done.stderr


def link(build, scratch, target, objects):
    """The target of this build with `objects` in front of its archives, at scratch/build/<target>."""
    command = call("ninja", "-C", build, "-t", "commands", target).splitlines()[-1]
    made = scratch / "build" / pathlib.Path(target).name
    made.parent.mkdir(exist_ok=True)
    command = re.sub(r" -o \S+", f" {' '.join(map(str, objects))} -o {made}", command, count=1)
    call("bash", "-c", command, cwd=build)
    return made


def toy_name(name):
    if name.startswith("encoder.layer."):
        layer, _, rest = name.removeprefix("encoder.layer.").partition(".")
        part, _, kind = rest.rpartition(".")
        return f"stack.{layer}.{NAMES[part]}.{kind}"
    for old, new in (("embeddings.word_embeddings", "words"), ("embeddings.position_embeddings", "places"),
                     ("embeddings.token_type_embeddings", "kinds"), ("embeddings.LayerNorm", "start")):
        name = name.replace(old, new)
    return name


def read_matrices(path):
    """name -> values, of the float32 tensors of rank 2."""
    data = path.read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    tensors = json.loads(data[8 : 8 + size])
    return {name: array.array("f", data[8 + size + t["data_offsets"][0] : 8 + size + t["data_offsets"][1]])
            for name, t in tensors.items() if name != "__metadata__" and len(t["shape"]) == 2}


def write_models(folder):
    """One tiny model twice: as BERT and as toy. -> the two folders, the texts."""
    model = json.loads((SOURCE / "tests" / "data" / "tiny_bert_widths.json").read_text())
    bert, config = model["config"], {}
    for new, old in (("width", "hidden_size"), ("depth", "num_hidden_layers"), ("heads", "num_attention_heads"),
                     ("inner", "intermediate_size"), ("num_words", "vocab_size"), ("places", "max_position_embeddings"),
                     ("epsilon", "layer_norm_eps"), ("compression_config", "compression_config")):
        config[new] = bert[old]
    tensors = {n: (t["shape"], base64.b64decode(t["data"])) for n, t in model["tensors"].items()}
    for name, settings, named in (("bert", bert, tensors),
                                  ("toy", config | {"model_type": "toy"}, {toy_name(n): t for n, t in tensors.items()})):
        (folder / name).mkdir()
        (folder / name / "config.json").write_text(json.dumps(settings))
        (folder / name / "vocab.txt").write_text("".join(w + "\n" for w in model["vocab"]))
        (folder / name / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": True}))
        write_safetensors(folder / name / "model.safetensors", named)
    (folder / "texts.txt").write_text("".join(c["text"] + "\n" for c in model["cases"]))
    return folder / "bert", folder / "toy", folder / "texts.txt"


def main():
    build = pathlib.Path(os.environ["PENJING_BINARY_DIR"])
    settings = dict(re.findall(r"^(\w+):\w+=(.*)$", (build / "CMakeCache.txt").read_text(), re.MULTILINE))
    if settings.get("PENJING_SANITIZE") or settings.get("PENJING_COVERAGE") == "ON":
        skip("checked in the builds without instrumentation")
    if settings.get("CMAKE_GENERATOR") != "Ninja":
        skip("the link rules are read from Ninja")
    with tempfile.TemporaryDirectory() as folder:
        scratch = pathlib.Path(folder) / "copy"
        shutil.copytree(SOURCE, scratch, ignore=lambda at, names: [n for n in names if n in (".git", "build")])
        for source, text, listed, line, test, test_text in ADDED:
            for path, content in ((source, text), (test, test_text)):
                (scratch / path).write_text(content)
            with open(scratch / listed, "a") as file:
                file.write(line + "\n")
        configure = ["cmake", "-S", scratch, "-B", scratch / "made", "-G", "Ninja", "-DPENJING_TESTS=ON",
                     f"-DCMAKE_BUILD_TYPE={settings['CMAKE_BUILD_TYPE']}",
                     f"-DCMAKE_CXX_COMPILER={settings['CMAKE_CXX_COMPILER']}",
                     f"-DCMAKE_CXX_COMPILER_LAUNCHER={settings.get('CMAKE_CXX_COMPILER_LAUNCHER', '')}"]
        for _, _, _, line, test, test_text in ADDED:
            (scratch / test).unlink()
            said = call(*configure, status=1)
            if "has no test" not in said or pathlib.Path(test).name not in " ".join(said.split()):
                sys.exit(f"without {test}, configure said: {said}")
            (scratch / test).write_text(test_text)
        call(*configure)
        entries = json.loads((scratch / "made" / "compile_commands.json").read_text())
        outputs = {pathlib.Path(e["file"]).relative_to(scratch).as_posix():
                   re.search(r" -o (\S+)", e["command"]).group(1) for e in entries}
        wanted = LISTS + [path for row in ADDED for path in (row[0], row[4])]
        call("ninja", *(outputs[path] for path in wanted), cwd=scratch / "made")
        objects = [scratch / "made" / outputs[path] for path in wanted if path.startswith("src/")]
        program = link(build, scratch, "penjing", objects)
        for target, test, name in (("tests/penjing_compress_test", ADDED[0][4], "ToyHalve.*"),
                                   ("tests/penjing_model_test", ADDED[1][4], "Toy.*")):
            # The model's test stands below the compression module and links only its own.
            mine = [o for o in objects if target.endswith("compress_test") or "penjing_model.dir" in str(o)]
            made = link(build, scratch, target, [scratch / "made" / outputs[test], *mine])
            if "1 test ran" not in call(made, f"--gtest_filter={name}").replace("1 test from 1 test suite ran", "1 test ran"):
                sys.exit(f"{name} did not run")
        os.environ["PENJING_PROGRAM"] = str(program)
        work = pathlib.Path(folder) / "work"
        work.mkdir()
        bert, toy, texts = write_models(work)
        if "--factor" not in run("halve", "--help") or "halve" not in run("--help"):
            sys.exit("the verb and its flag are not in --help")
        for model in (bert, toy):
            run("embed", model, "--input", texts, "--output", work / f"{model.name}.npy", "--tokens")
        if (work / "bert.npy").read_bytes() != (work / "toy.npy").read_bytes():
            sys.exit("the toy architecture computes something else than BERT with the same weights")
        run("halve", toy, "--factor", "0.25", "--out", work / "quarter")
        whole, quarter = (read_matrices(folder / "model.safetensors") for folder in (toy, work / "quarter"))
        for name, values in whole.items():  # exact: a power of two
            if [0.25 * value for value in values] != list(quarter[name]):
                sys.exit(f"halve --factor 0.25: {name} is not a quarter of what it was")
        steps = json.loads((work / "quarter" / "compression.json").read_text())["steps"]
        if steps[0]["params"] != {"factor": 0.25} or steps[0]["details"]["matrices"] != len(whole):
            sys.exit(f"compression.json: {steps}")
        run("quantize", toy, "--out", work / "int8")  # methods that are there know the new architecture
        run("verify", work / "int8", "--reference", toy, "--data", texts, "--min-cosine", "0.99")
        run("halve", toy, "--factor", "2", "--out", work / "never", status=2)
        said = json.loads(run("inspect", work / "quarter", "--json"))
        print(f"toy architecture and method work; inspect knows {said.get('family', said.get('architecture'))}")


if __name__ == "__main__":
    main()
