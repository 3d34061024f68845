#include "cli/program.h"

int main(int argc, char** argv) {
  return penjing::cli::run_program(argc, argv);
}
