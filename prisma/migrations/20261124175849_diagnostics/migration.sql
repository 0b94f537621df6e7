-- CreateTable
CREATE TABLE "diagnostics" (
    "id" UUID NOT NULL,
    "device_id" UUID NOT NULL,
    "state" TEXT NOT NULL DEFAULT 'gathering',
    "reason" TEXT,
    "sha256" TEXT,
    "bytes" INTEGER,
    "requested_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "ended_at" TIMESTAMPTZ(3),

    CONSTRAINT "diagnostics_pkey" PRIMARY KEY ("id")
);

-- CreateIndex
CREATE INDEX "diagnostics_device_id_requested_at_idx" ON "diagnostics"("device_id", "requested_at");
