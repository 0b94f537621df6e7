-- AlterTable
ALTER TABLE "devices" ADD COLUMN     "config" JSONB NOT NULL DEFAULT '{}',
ADD COLUMN     "config_report" JSONB,
ADD COLUMN     "config_revision" INTEGER NOT NULL DEFAULT 0;
