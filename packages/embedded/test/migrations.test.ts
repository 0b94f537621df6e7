import { createHash } from 'node:crypto'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { type FreshDatabase, freshDatabase } from '@skerry/testkit'
import pg from 'pg'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { applyMigrations } from '../src/index.ts'

let dir: string
let database: FreshDatabase

beforeEach(async () => {
  dir = fs.mkdtempSync(path.join(os.tmpdir(), 'skerry-migrations-'))
  fs.writeFileSync(path.join(dir, 'migration_lock.toml'), 'provider = "postgresql"\n')
  database = await freshDatabase({ empty: true })
})
afterEach(async () => {
  await database.drop()
  fs.rmSync(dir, { recursive: true, force: true })
})

function write(name: string, sql: string): void {
  fs.mkdirSync(path.join(dir, name), { recursive: true })
  fs.writeFileSync(path.join(dir, name, 'migration.sql'), sql)
}

async function query(sql: string): Promise<pg.QueryResultRow[]> {
  const client = new pg.Client({ connectionString: database.url })
  await client.connect()
  try {
    return (await client.query(sql)).rows
  } finally {
    await client.end()
  }
}

describe('applyMigrations', () => {
  it('applies what is missing, in order, once, and records it as Prisma does', async () => {
    write('2_second', 'ALTER TABLE t ADD COLUMN b int; CREATE INDEX t_b ON t (b);')
    write('1_first', 'CREATE TABLE t (a int);')
    const lines: string[] = []
    const log = (line: string): void => void lines.push(line)
    expect(await applyMigrations(database.url, dir, { log })).toEqual(['1_first', '2_second'])
    expect(lines).toHaveLength(2)
    expect(await applyMigrations(database.url, dir)).toEqual([])
    write('3_third', 'ALTER TABLE t ADD COLUMN c int;')
    expect(await applyMigrations(database.url, dir)).toEqual(['3_third'])
    const rows = await query('SELECT * FROM _prisma_migrations ORDER BY migration_name')
    expect(rows.map((row) => row.migration_name)).toEqual(['1_first', '2_second', '3_third'])
    expect(rows[0]).toMatchObject({
      checksum: createHash('sha256').update('CREATE TABLE t (a int);').digest('hex'),
      finished_at: expect.any(Date),
      rolled_back_at: null,
      applied_steps_count: 1
    })
  })

  it('waits for whoever holds the lock of Prisma, so that many processes that start together apply each once', async () => {
    write('1_first', 'CREATE TABLE t (a int);')
    const holder = new pg.Client({ connectionString: database.url })
    await holder.connect()
    await holder.query('SELECT pg_advisory_lock(72707369)')
    const waiting = async (): Promise<number> => {
      const locks =
        "SELECT count(*)::int AS n FROM pg_locks WHERE locktype = 'advisory' AND objid = 72707369 AND NOT granted"
      return (await holder.query<{ n: number }>(locks)).rows[0]?.n ?? 0
    }
    const applying = [1, 2, 3].map(() => applyMigrations(database.url, dir))
    await expect.poll(waiting, { timeout: 10_000 }).toBe(3)
    expect(await query("SELECT to_regclass('t') AS t")).toEqual([{ t: null }])
    await holder.end()
    expect((await Promise.all(applying)).flat()).toEqual(['1_first'])
  })

  it('refuses a file that was changed after it was applied', async () => {
    write('1_first', 'CREATE TABLE t (a int);')
    await applyMigrations(database.url, dir)
    write('1_first', 'CREATE TABLE t (a bigint);')
    write('2_second', 'CREATE TABLE u (a int);')
    await expect(applyMigrations(database.url, dir)).rejects.toMatchObject({
      code: 'migration-changed',
      message: expect.stringContaining('1_first')
    })
    expect(await query("SELECT to_regclass('u') AS u")).toEqual([{ u: null }])
  })

  it('leaves nothing of a migration that fails, and goes on from there when it is mended', async () => {
    write('1_first', 'CREATE TABLE t (a int);')
    write('2_broken', 'CREATE TABLE u (a int); SELECT nonsense;')
    await expect(applyMigrations(database.url, dir)).rejects.toMatchObject({
      code: 'migration-failed',
      message: expect.stringContaining('nonsense')
    })
    expect(await query("SELECT to_regclass('t')::text AS t, to_regclass('u')::text AS u")).toEqual([
      { t: 't', u: null }
    ])
    write('2_broken', 'CREATE TABLE u (a int);')
    expect(await applyMigrations(database.url, dir)).toEqual(['2_broken'])
  })

  it("refuses a database in which Prisma's own command failed halfway", async () => {
    write('1_first', 'CREATE TABLE t (a int);')
    await applyMigrations(database.url, dir)
    await query('UPDATE _prisma_migrations SET finished_at = NULL')
    await expect(applyMigrations(database.url, dir)).rejects.toMatchObject({ code: 'migration-failed' })
  })
})
