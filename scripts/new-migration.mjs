// node scripts/new-migration.mjs NAME: writes the next migration from prisma/schema.prisma; read it before you commit it.
import fs from 'node:fs'
import path from 'node:path'
import { diffOfSchema, endWith, MIGRATION_LOCK, migrationsDir } from './schema-engine.mjs'

const name = process.argv[2] ?? ''
if (!/^[a-z0-9_]+$/.test(name)) {
  console.error('usage: node scripts/new-migration.mjs NAME (lower-case letters, digits and _)')
  process.exit(1)
}
fs.mkdirSync(migrationsDir, { recursive: true })
const sql = await diffOfSchema().catch(endWith)
if (sql === null) {
  console.log('the migrations already lead to prisma/schema.prisma')
} else {
  const stamp = new Date().toISOString().replaceAll(/\D/g, '').slice(0, 14)
  const directory = path.join(migrationsDir, `${stamp}_${name}`)
  fs.mkdirSync(directory)
  fs.writeFileSync(path.join(directory, 'migration.sql'), sql)
  fs.writeFileSync(path.join(migrationsDir, 'migration_lock.toml'), MIGRATION_LOCK)
  console.log(`${path.relative(process.cwd(), directory)}/migration.sql`)
}
