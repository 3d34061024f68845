#include "base/version.h"

namespace penjing {

const char* version() {
  return PENJING_VERSION;
}

}  // namespace penjing
