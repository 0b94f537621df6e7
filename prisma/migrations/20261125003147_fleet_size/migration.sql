-- CreateIndex
CREATE INDEX "devices_http_token_hash_idx" ON "devices"("http_token_hash");

-- CreateIndex
CREATE INDEX "placements_deployment_state_idx" ON "placements"("deployment", "state");

-- Asked for with every device that is placed anew, and jobs of other kinds are many.
CREATE INDEX "jobs_open_benchmarks" ON "jobs" ("target_device_id") WHERE kind = 'benchmark' AND state IN ('queued', 'running');
