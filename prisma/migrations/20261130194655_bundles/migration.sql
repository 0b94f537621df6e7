-- AlterTable
ALTER TABLE "jobs" ADD COLUMN     "bundle" UUID;
