# Run at build time: writes OUTPUT, which holds the git revision of SOURCE as a string, and leaves the
# file alone where nothing changed. A commit then costs a link, not a compilation of every program.
set(revision unknown)
if(EXISTS ${SOURCE}/.git)
  execute_process(COMMAND git -C ${SOURCE} describe --always --dirty --abbrev=12 --exclude=*
                  OUTPUT_VARIABLE described OUTPUT_STRIP_TRAILING_WHITESPACE
                  ERROR_QUIET RESULT_VARIABLE failed)
  if(NOT failed)
    set(revision ${described})
  endif()
endif()
file(CONFIGURE OUTPUT ${OUTPUT} CONTENT
     "namespace tinynet::examples {\nextern const char* const git_revision = \"${revision}\";\n}\n")
