-- AlterTable
ALTER TABLE "benchmarks" ADD COLUMN     "p95_ms" DOUBLE PRECISION,
ADD COLUMN     "peak_rss_bytes" BIGINT;

-- AlterTable
ALTER TABLE "deployments" ADD COLUMN     "requirements" JSONB NOT NULL DEFAULT '{}';

-- CreateIndex
CREATE INDEX "benchmarks_created_at_idx" ON "benchmarks"("created_at");
