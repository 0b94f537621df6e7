-- Those that ended count too: what failed on a device is not timed there again at once.
DROP INDEX "jobs_open_benchmarks";
CREATE INDEX "jobs_benchmarks" ON "jobs" ("target_device_id") WHERE kind = 'benchmark';
