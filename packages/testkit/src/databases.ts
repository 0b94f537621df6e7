import { randomUUID } from 'node:crypto'
import { applyMigrations } from '@skerry/embedded'
import pg from 'pg'
import { migrationsDir, testUrl } from './config.ts'

export type FreshDatabase = {
  url: string
  /** Ends what connections are left and removes the database. */
  drop(): Promise<void>
}

const TEMPLATE = 'skerry_template'

/** Makes the database that each fresh one is cloned from, with all migrations applied. Once per test run. */
export async function makeTemplate(): Promise<void> {
  await asAdmin(`DROP DATABASE IF EXISTS ${TEMPLATE} WITH (FORCE)`)
  await asAdmin(`CREATE DATABASE ${TEMPLATE}`)
  await applyMigrations(urlOf(TEMPLATE), migrationsDir)
}

/** A database of the caller's own, in some tens of milliseconds: migrated, or with `empty` without any table. */
export async function freshDatabase(options: { empty?: boolean } = {}): Promise<FreshDatabase> {
  const name = `test_${randomUUID().replaceAll('-', '')}`
  await asAdmin(`CREATE DATABASE ${name} TEMPLATE ${options.empty ? 'template0' : TEMPLATE}`)
  return { url: urlOf(name), drop: () => asAdmin(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`) }
}

function urlOf(database: string): string {
  const url = new URL(testUrl('databaseUrl'))
  url.pathname = `/${database}`
  return url.href
}

async function asAdmin(statement: string): Promise<void> {
  await rowsOf(testUrl('databaseUrl'), statement)
}

/** For what a test must see that no route shows. */
export async function rowsOf<Row extends pg.QueryResultRow>(
  databaseUrl: string,
  statement: string,
  values: readonly unknown[] = []
): Promise<Row[]> {
  const client = new pg.Client({ connectionString: databaseUrl })
  await client.connect()
  try {
    return (await client.query<Row>(statement, [...values])).rows
  } finally {
    await client.end()
  }
}
