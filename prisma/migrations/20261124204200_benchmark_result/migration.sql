-- AlterTable
ALTER TABLE "benchmarks" ADD COLUMN     "result" JSONB;
