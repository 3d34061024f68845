# cmake -DSOURCE=tree -DOUT=file -P git_commit.cmake: writes the commit of the tree into a header, "+" after it when
# tracked files differ from it, empty outside a repository. The file is touched only when that changes.
execute_process(COMMAND git -C ${SOURCE} describe --always --exclude=* --abbrev=40 --dirty=+
  OUTPUT_VARIABLE commit ERROR_QUIET OUTPUT_STRIP_TRAILING_WHITESPACE RESULT_VARIABLE status)
# A tree without .git inside another repository (a source archive unpacked there) has no commit of its own.
if(NOT status EQUAL 0 OR NOT EXISTS ${SOURCE}/.git)
  set(commit "")
endif()
set(text "#define PENJING_GIT_COMMIT \"${commit}\"\n")
if(EXISTS ${OUT})
  file(READ ${OUT} before)
endif()
if(NOT "${text}" STREQUAL "${before}")
  file(WRITE ${OUT} "${text}")
endif()
