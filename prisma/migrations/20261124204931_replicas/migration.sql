-- AlterTable
ALTER TABLE "devices" ADD COLUMN     "replica_id" UUID;

-- CreateTable
CREATE TABLE "replicas" (
    "id" UUID NOT NULL,
    "started_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "seen_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "replicas_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "scheduler_leases" (
    "domain" TEXT NOT NULL,
    "holder" UUID NOT NULL,
    "term" INTEGER NOT NULL,
    "expires_at" TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT "scheduler_leases_pkey" PRIMARY KEY ("domain")
);

-- CreateIndex
CREATE INDEX "devices_replica_id_idx" ON "devices"("replica_id");
