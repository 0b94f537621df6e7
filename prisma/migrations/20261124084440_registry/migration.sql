-- CreateTable
CREATE TABLE "api_keys" (
    "id" UUID NOT NULL,
    "name" TEXT NOT NULL,
    "key_hash" BYTEA NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "revoked_at" TIMESTAMPTZ(3),

    CONSTRAINT "api_keys_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "signing_keys" (
    "id" TEXT NOT NULL,
    "public_key" BYTEA NOT NULL,
    "private_key" BYTEA NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "signing_keys_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "join_tokens" (
    "id" UUID NOT NULL,
    "token_hash" BYTEA NOT NULL,
    "labels" JSONB NOT NULL DEFAULT '{}',
    "capabilities" TEXT[],
    "uses_left" INTEGER NOT NULL,
    "expires_at" TIMESTAMPTZ(3) NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "join_tokens_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "devices" (
    "id" UUID NOT NULL,
    "name" TEXT NOT NULL,
    "public_key" BYTEA NOT NULL,
    "labels" JSONB NOT NULL DEFAULT '{}',
    "taints" TEXT[],
    "capabilities" TEXT[],
    "facts" JSONB NOT NULL,
    "infer_slots" INTEGER NOT NULL,
    "convert_slots" INTEGER NOT NULL,
    "session" INTEGER NOT NULL DEFAULT 0,
    "http_token_hash" BYTEA,
    "connected" BOOLEAN NOT NULL DEFAULT false,
    "cordoned" BOOLEAN NOT NULL DEFAULT false,
    "draining" BOOLEAN NOT NULL DEFAULT false,
    "revoked_at" TIMESTAMPTZ(3),
    "health" JSONB,
    "latency_seq" BIGINT NOT NULL DEFAULT 0,
    "last_seen_at" TIMESTAMPTZ(3),
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "devices_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "models" (
    "name" TEXT NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "models_pkey" PRIMARY KEY ("name")
);

-- CreateTable
CREATE TABLE "model_versions" (
    "model" TEXT NOT NULL,
    "version" TEXT NOT NULL,
    "format" TEXT NOT NULL,
    "source_sha256" TEXT NOT NULL,
    "source_bytes" BIGINT NOT NULL,
    "inputs" JSONB,
    "outputs" JSONB,
    "signatures" JSONB,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "model_versions_pkey" PRIMARY KEY ("model","version")
);

-- CreateTable
CREATE TABLE "variants" (
    "model" TEXT NOT NULL,
    "version" TEXT NOT NULL,
    "variant" TEXT NOT NULL,
    "recipe" TEXT NOT NULL,
    "state" TEXT NOT NULL,
    "reason" TEXT,
    "sha256" TEXT,
    "bytes" BIGINT,
    "inputs" JSONB,
    "outputs" JSONB,
    "operators" JSONB,
    "parity" JSONB,
    "runtimes" JSONB,
    "converter" JSONB,
    "manifest" JSONB,
    "signature" TEXT,
    "job_id" UUID NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "variants_pkey" PRIMARY KEY ("model","version","variant")
);

-- CreateTable
CREATE TABLE "deployments" (
    "name" TEXT NOT NULL,
    "model" TEXT NOT NULL,
    "version" TEXT NOT NULL,
    "variants" JSONB NOT NULL DEFAULT '"auto"',
    "selector" JSONB NOT NULL DEFAULT '{}',
    "allow_unproven" BOOLEAN NOT NULL DEFAULT false,
    "phase" TEXT NOT NULL DEFAULT 'progressing',
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "deployments_pkey" PRIMARY KEY ("name")
);

-- CreateTable
CREATE TABLE "placements" (
    "deployment" TEXT NOT NULL,
    "device_id" UUID NOT NULL,
    "variant" TEXT,
    "artifact" TEXT,
    "runtime" TEXT,
    "state" TEXT NOT NULL DEFAULT 'pending',
    "reason" TEXT,
    "measured" JSONB,
    "updated_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "placements_pkey" PRIMARY KEY ("deployment","device_id")
);

-- CreateTable
CREATE TABLE "benchmarks" (
    "id" UUID NOT NULL,
    "artifact" TEXT NOT NULL,
    "device_id" UUID NOT NULL,
    "runtime" TEXT NOT NULL,
    "runs" INTEGER NOT NULL,
    "init_ms" DOUBLE PRECISION NOT NULL,
    "first_ms" DOUBLE PRECISION NOT NULL,
    "p50_ms" DOUBLE PRECISION NOT NULL,
    "p99_ms" DOUBLE PRECISION NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "benchmarks_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "latency_windows" (
    "window_start" TIMESTAMPTZ(3) NOT NULL,
    "device_id" UUID NOT NULL,
    "deployment" TEXT NOT NULL,
    "artifact" TEXT NOT NULL,
    "runtime" TEXT NOT NULL,
    "model" TEXT NOT NULL,
    "variant" TEXT NOT NULL,
    "histogram" JSONB NOT NULL,

    CONSTRAINT "latency_windows_pkey" PRIMARY KEY ("window_start","device_id","deployment","artifact","runtime")
);

-- CreateTable
CREATE TABLE "jobs" (
    "id" UUID NOT NULL,
    "kind" TEXT NOT NULL,
    "state" TEXT NOT NULL DEFAULT 'queued',
    "pool" TEXT NOT NULL,
    "priority" INTEGER NOT NULL DEFAULT 0,
    "model" TEXT,
    "version" TEXT,
    "deployment" TEXT,
    "payload" JSONB NOT NULL,
    "inputs" BYTEA,
    "target_device_id" UUID,
    "selector" JSONB NOT NULL DEFAULT '{}',
    "epoch" INTEGER NOT NULL DEFAULT 1,
    "max_attempts" INTEGER NOT NULL,
    "enqueued_at" TIMESTAMPTZ(3),
    "device_id" UUID,
    "session" INTEGER,
    "variant" TEXT,
    "runtime" TEXT,
    "queued_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "started_at" TIMESTAMPTZ(3),
    "lease_expires_at" TIMESTAMPTZ(3),
    "attempts" JSONB NOT NULL DEFAULT '[]',
    "runtime_kills" INTEGER NOT NULL DEFAULT 0,
    "progress" JSONB,
    "result" JSONB,
    "outputs" BYTEA,
    "error" JSONB,
    "idempotency_key" TEXT,
    "request_hash" BYTEA,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "expires_at" TIMESTAMPTZ(3) NOT NULL,
    "ended_at" TIMESTAMPTZ(3),

    CONSTRAINT "jobs_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "idempotent_answers" (
    "key" TEXT NOT NULL,
    "request_hash" BYTEA NOT NULL,
    "status" INTEGER NOT NULL,
    "body" JSONB NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "idempotent_answers_pkey" PRIMARY KEY ("key")
);

-- CreateIndex
CREATE UNIQUE INDEX "api_keys_name_key" ON "api_keys"("name");

-- CreateIndex
CREATE UNIQUE INDEX "api_keys_key_hash_key" ON "api_keys"("key_hash");

-- CreateIndex
CREATE UNIQUE INDEX "join_tokens_token_hash_key" ON "join_tokens"("token_hash");

-- CreateIndex
CREATE UNIQUE INDEX "devices_name_key" ON "devices"("name");

-- CreateIndex
CREATE INDEX "variants_sha256_idx" ON "variants"("sha256");

-- CreateIndex
CREATE INDEX "deployments_model_version_idx" ON "deployments"("model", "version");

-- CreateIndex
CREATE INDEX "placements_device_id_idx" ON "placements"("device_id");

-- CreateIndex
CREATE INDEX "benchmarks_artifact_device_id_runtime_created_at_idx" ON "benchmarks"("artifact", "device_id", "runtime", "created_at");

-- CreateIndex
CREATE INDEX "latency_windows_model_window_start_idx" ON "latency_windows"("model", "window_start");

-- CreateIndex
CREATE INDEX "jobs_created_at_idx" ON "jobs"("created_at");

-- CreateIndex
CREATE INDEX "jobs_model_created_at_idx" ON "jobs"("model", "created_at");

-- CreateIndex
CREATE UNIQUE INDEX "jobs_idempotency_key_key" ON "jobs"("idempotency_key");

-- AddForeignKey
ALTER TABLE "model_versions" ADD CONSTRAINT "model_versions_model_fkey" FOREIGN KEY ("model") REFERENCES "models"("name") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "variants" ADD CONSTRAINT "variants_model_version_fkey" FOREIGN KEY ("model", "version") REFERENCES "model_versions"("model", "version") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "deployments" ADD CONSTRAINT "deployments_model_version_fkey" FOREIGN KEY ("model", "version") REFERENCES "model_versions"("model", "version") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "placements" ADD CONSTRAINT "placements_deployment_fkey" FOREIGN KEY ("deployment") REFERENCES "deployments"("name") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "placements" ADD CONSTRAINT "placements_device_id_fkey" FOREIGN KEY ("device_id") REFERENCES "devices"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- Indexes on the open jobs only: jobs that ended are many, and nobody sweeps them.
CREATE INDEX "jobs_due" ON "jobs" ("id") WHERE state = 'queued' AND enqueued_at IS NULL;
CREATE INDEX "jobs_queued" ON "jobs" ("id") WHERE state = 'queued';
CREATE INDEX "jobs_lease" ON "jobs" ("lease_expires_at") WHERE state = 'running';
CREATE INDEX "jobs_running_device" ON "jobs" ("device_id") WHERE state = 'running';
CREATE INDEX "jobs_expiry" ON "jobs" ("expires_at") WHERE state IN ('queued', 'running');
CREATE INDEX "jobs_open_deployment" ON "jobs" ("deployment") WHERE state IN ('queued', 'running');

-- Rows of open jobs are updated several times: leave room on the page so that updates stay on it.
ALTER TABLE "jobs" SET (fillfactor = 70);
