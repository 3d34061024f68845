#pragma once

namespace penjing {

const char* version();  // "0.1.0", from the file VERSION

}  // namespace penjing
