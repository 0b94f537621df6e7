-- DropIndex
DROP INDEX "jobs_created_at_idx";

-- DropIndex
DROP INDEX "jobs_model_created_at_idx";

-- AlterTable
ALTER TABLE "jobs" DROP COLUMN "enqueued_at";
