-- AlterTable
ALTER TABLE "variants" ADD COLUMN     "details" JSONB;

-- CreateTable
CREATE TABLE "known_conversions" (
    "key" TEXT NOT NULL,
    "stamp" TEXT NOT NULL,
    "result" JSONB NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "known_conversions_pkey" PRIMARY KEY ("key")
);
