import net from 'node:net'
import pg from 'pg'
import { describe, expect, it } from 'vitest'
import { freshDatabase, freshRedis, startTestValkey } from '../src/index.ts'

async function query<T extends pg.QueryResultRow>(url: string, sql: string): Promise<T[]> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    return (await client.query<T>(sql)).rows
  } finally {
    await client.end()
  }
}

describe('freshDatabase', () => {
  it('is migrated and shares nothing with another', async () => {
    const [a, b] = await Promise.all([freshDatabase(), freshDatabase()])
    try {
      await query(a.url, 'CREATE TABLE mine (n int)')
      expect(await query(b.url, "SELECT to_regclass('mine') AS name")).toEqual([{ name: null }])
      expect(await query(b.url, "SELECT to_regclass('_prisma_migrations')::text AS name")).toEqual([
        { name: '_prisma_migrations' }
      ])
    } finally {
      await Promise.all([a.drop(), b.drop()])
    }
  })

  it('is without any table when asked, and gone when dropped', async () => {
    const database = await freshDatabase({ empty: true })
    expect(await query(database.url, "SELECT to_regclass('_prisma_migrations') AS name")).toEqual([{ name: null }])
    const open = new pg.Client({ connectionString: database.url })
    open.on('error', () => undefined)
    await open.connect()
    const cut = new Promise<void>((resolve) => open.once('end', resolve))
    await database.drop()
    await cut
    await expect(query(database.url, 'SELECT 1')).rejects.toMatchObject({ code: '3D000' })
  })
})

describe('Valkey', () => {
  it('has a server for the run, with a prefix for each caller, and one to oneself', async () => {
    const [a, b] = [freshRedis(), freshRedis()]
    expect(a.url).toBe(b.url)
    expect(a.prefix).not.toBe(b.prefix)
    const own = await startTestValkey()
    expect(own.url).not.toBe(a.url)
    await own.stop()
    await expect(connect(own.port)).rejects.toMatchObject({ code: 'ECONNREFUSED' })
  })
})

function connect(port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = net.connect(port, '127.0.0.1', () => {
      socket.destroy()
      resolve()
    })
    socket.once('error', reject)
  })
}
