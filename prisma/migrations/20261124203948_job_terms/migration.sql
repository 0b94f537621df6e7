-- AlterTable
ALTER TABLE "jobs" ADD COLUMN     "explanation" JSONB,
ADD COLUMN     "terms" JSONB NOT NULL DEFAULT '{}';
