import { createHash, randomUUID } from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import pg from 'pg'
import { EmbeddedError, errorCode } from './embedded-error.ts'
import type { Log } from './service.ts'

// The key that Prisma's own engine locks, so that its `migrate deploy` and this never run at once.
const PRISMA_LOCK = 72707369
const LOCK_TIMEOUT_MS = 120_000

// Prisma's own table, to the letter.
const MIGRATIONS_TABLE = `CREATE TABLE IF NOT EXISTS _prisma_migrations (
    id                  VARCHAR(36) PRIMARY KEY NOT NULL,
    checksum            VARCHAR(64) NOT NULL,
    finished_at         TIMESTAMPTZ,
    migration_name      VARCHAR(255) NOT NULL,
    logs                TEXT,
    rolled_back_at      TIMESTAMPTZ,
    started_at          TIMESTAMPTZ NOT NULL DEFAULT now(),
    applied_steps_count INTEGER NOT NULL DEFAULT 0
)`

type Migration = { name: string; sql: string; checksum: string }
type Applied = { migration_name: string; checksum: string; finished_at: Date | null }

/**
 * Applies the migrations of `<migrationsDir>/<name>/migration.sql` that the database lacks, in the order of their
 * names, each in one transaction, and answers their names. It keeps Prisma's layout, table, checksum and lock, so
 * that Prisma's own command agrees with it. Refuses a file that was changed after it was applied.
 */
export async function applyMigrations(
  databaseUrl: string,
  migrationsDir: string,
  options: { log?: Log } = {}
): Promise<string[]> {
  const log = options.log ?? (() => undefined)
  const migrations = readMigrations(migrationsDir)
  const client = new pg.Client({ connectionString: databaseUrl })
  await client.connect()
  try {
    await lock(client)
    await client.query(MIGRATIONS_TABLE)
    const pending = pendingOf(migrations, await appliedTo(client))
    for (const migration of pending) {
      log(`applying migration ${migration.name}`)
      await apply(client, migration)
    }
    return pending.map((migration) => migration.name)
  } finally {
    await client.end()
  }
}

function readMigrations(migrationsDir: string): Migration[] {
  return fs
    .readdirSync(migrationsDir)
    .filter((name) => fs.existsSync(path.join(migrationsDir, name, 'migration.sql')))
    .sort()
    .map((name) => {
      const content = fs.readFileSync(path.join(migrationsDir, name, 'migration.sql'))
      return { name, sql: content.toString('utf8'), checksum: createHash('sha256').update(content).digest('hex') }
    })
}

async function lock(client: pg.Client): Promise<void> {
  await client.query(`SET lock_timeout = ${LOCK_TIMEOUT_MS}`)
  try {
    await client.query('SELECT pg_advisory_lock($1)', [PRISMA_LOCK])
  } catch (error) {
    if (errorCode(error) !== '55P03') throw error
    throw new EmbeddedError('migration-locked', 'another process has held the migration lock for two minutes', {
      cause: error
    })
  }
  await client.query('RESET lock_timeout')
}

async function appliedTo(client: pg.Client): Promise<Applied[]> {
  const result = await client.query<Applied>(
    'SELECT migration_name, checksum, finished_at FROM _prisma_migrations WHERE rolled_back_at IS NULL'
  )
  return result.rows
}

function pendingOf(migrations: Migration[], applied: Applied[]): Migration[] {
  const unfinished = applied.find((row) => row.finished_at === null)
  if (unfinished !== undefined) {
    const message = `migration ${unfinished.migration_name} failed halfway in this database: repair it, and see prisma migrate resolve`
    throw new EmbeddedError('migration-failed', message)
  }
  const checksums = new Map(applied.map((row) => [row.migration_name, row.checksum]))
  for (const { name, checksum } of migrations) {
    if (checksums.has(name) && checksums.get(name) !== checksum) {
      throw new EmbeddedError(
        'migration-changed',
        `migration ${name} was changed after it was applied to this database`
      )
    }
  }
  return migrations.filter((migration) => !checksums.has(migration.name))
}

async function apply(client: pg.Client, migration: Migration): Promise<void> {
  await client.query('BEGIN')
  try {
    await client.query(migration.sql)
    await client.query(
      'INSERT INTO _prisma_migrations (id, checksum, migration_name, finished_at, applied_steps_count) VALUES ($1, $2, $3, now(), 1)',
      [randomUUID(), migration.checksum, migration.name]
    )
    await client.query('COMMIT')
  } catch (error) {
    await client.query('ROLLBACK')
    const reason = error instanceof Error ? error.message : String(error)
    throw new EmbeddedError('migration-failed', `migration ${migration.name}: ${reason}`, { cause: error })
  }
}
