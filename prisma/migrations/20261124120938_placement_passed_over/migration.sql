-- AlterTable
ALTER TABLE "placements" ADD COLUMN     "passed_over" JSONB;
