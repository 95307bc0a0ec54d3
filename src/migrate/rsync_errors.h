// What rsync says when it fails, as an error.
#pragma once

#include "base/fd.h"
#include "base/result.h"

namespace martlet::migrate {

// A file in memory for the standard error of one run.
Result<Fd> make_rsync_error_file();

// Whether nothing is wrong but that files vanished or changed while they were read.
bool only_files_changed(int exit_code, const Fd& error_file);

// The error for an exit code other than 0: rsync's own last words, with what they mean to a caller.
std::unexpected<Error> rsync_failed(int exit_code, const Fd& error_file);

}  // namespace martlet::migrate
