#pragma once

namespace penjing {

// Thrown by check_interrupt(); the program maps it to exit code 130. Deliberately not an Error: nothing
// went wrong.
struct Interrupted {};

// Installs SIGINT and SIGTERM handlers that set a flag (the second signal ends the process at once).
void install_interrupt_handler();
bool interrupted() noexcept;
void check_interrupt();  // throws Interrupted once the flag is set; called between units of work

}  // namespace penjing
