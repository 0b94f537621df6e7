// Fails when prisma/migrations do not lead to prisma/schema.prisma.
import { diffOfSchema, endWith } from './schema-engine.mjs'

const sql = await diffOfSchema().catch(endWith)
if (sql !== null) {
  console.error(`prisma/schema.prisma and prisma/migrations differ; run node scripts/new-migration.mjs NAME\n${sql}`)
  process.exit(1)
}
