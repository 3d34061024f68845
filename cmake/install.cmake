# find_package(penjing) is written by the install step; see docs/embedding.md.
