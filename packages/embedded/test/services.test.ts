import { spawn } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import net from 'node:net'
import os from 'node:os'
import path from 'node:path'
import readline from 'node:readline'
import { toolPaths } from '@skerry/testkit'
import pg from 'pg'
import { afterEach, beforeEach, describe, expect, it, onTestFinished } from 'vitest'
import { endLeftBehind, type Service, startPostgres, startValkey } from '../src/index.ts'

const { valkeyServer } = toolPaths()
const builtEntry = path.resolve(import.meta.dirname, '../dist/index.js')
let dir: string

beforeEach(() => {
  dir = fs.mkdtempSync(path.join(os.tmpdir(), 'skerry embedded-'))
})
afterEach(() => fs.rmSync(dir, { recursive: true, force: true }))

async function query(url: string, sql: string): Promise<pg.QueryResultRow[]> {
  const client = new pg.Client({ connectionString: url })
  client.on('error', () => undefined)
  await client.connect()
  try {
    return (await client.query(sql)).rows
  } finally {
    await client.end()
  }
}

async function connect(port: number): Promise<void> {
  const socket = net.connect(port, '127.0.0.1')
  await once(socket, 'connect')
  socket.destroy()
}

/** One inline command and its answer, raw. */
function command(service: Service, line: string, password = new URL(service.url).password): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = net.connect(service.port, '127.0.0.1', () => socket.write(`AUTH ${password}\r\n${line}\r\nQUIT\r\n`))
    let said = ''
    socket.setEncoding('utf8')
    socket.on('data', (chunk: string) => {
      said += chunk
    })
    socket.once('end', () => resolve(said.split('\r\n').slice(1).join('\n')))
    socket.once('error', reject)
  })
}

/** Another Node process that starts both services, tells their urls and pids, and then waits to be killed. */
async function ownerProcess(): Promise<{
  kill(): Promise<void>
  services: { url: string; pid: number; port: number }[]
}> {
  const script = `
    import { startPostgres, startValkey } from ${JSON.stringify(builtEntry)}
    const dir = ${JSON.stringify(dir)}
    const services = [await startPostgres({ dir }), await startValkey({ dir, valkeyServer: ${JSON.stringify(valkeyServer)} })]
    console.log(JSON.stringify(services.map(({ url, pid, port }) => ({ url, pid, port }))))
    setInterval(() => {}, 1000)`
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'pipe', 'inherit'] })
  const [line] = (await once(readline.createInterface(child.stdout), 'line')) as [string]
  const ended = once(child, 'exit')
  const kill = async (): Promise<void> => {
    child.kill('SIGKILL')
    await ended
  }
  onTestFinished(kill)
  return { kill, services: JSON.parse(line) }
}

describe('Postgres', () => {
  it('keeps its data, password and settings over an orderly stop', async () => {
    const first = await startPostgres({ dir })
    await query(first.url, 'CREATE TABLE kept AS SELECT 1 AS n')
    await first.stop()
    expect(await first.exited).toEqual({ exitCode: 0, signal: null })
    const second = await startPostgres({ dir })
    try {
      expect(new URL(second.url).password).toBe(new URL(first.url).password)
      expect(await query(second.url, 'SELECT n FROM kept')).toEqual([{ n: 1 }])
      const settings =
        "SELECT current_setting('data_checksums') AS sums, current_setting('server_encoding') AS encoding, current_setting('fsync') AS fsync"
      expect(await query(second.url, settings)).toEqual([{ sums: 'on', encoding: 'UTF8', fsync: 'on' }])
      const wrong = new URL(second.url)
      wrong.password = 'wrong'
      await expect(query(wrong.href, 'SELECT 1')).rejects.toMatchObject({ code: '28P01' })
    } finally {
      await second.stop()
    }
  })

  it('says that it ended by itself, and comes up again', async () => {
    const first = await startPostgres({ dir })
    process.kill(first.pid, 'SIGKILL')
    expect(await first.exited).toEqual({ exitCode: null, signal: 'SIGKILL' })
    await first.stop()
    const second = await startPostgres({ dir })
    await second.stop()
  })

  it('removes what an interrupted first start left', async () => {
    fs.mkdirSync(path.join(dir, 'postgres.new-cut-short'))
    const postgres = await startPostgres({ dir })
    await postgres.stop()
    expect(fs.readdirSync(dir).filter((name) => name.startsWith('postgres.new-'))).toEqual([])
  })

  it('fails with its own last words', async () => {
    await (await startPostgres({ dir })).stop()
    fs.rmSync(path.join(dir, 'postgres/global/pg_control'))
    await expect(startPostgres({ dir })).rejects.toMatchObject({
      code: 'service-failed',
      message: expect.stringContaining('pg_control')
    })
  })
})

describe('Valkey', () => {
  it('keeps its data over a hard kill, never evicts, and wants its password', async () => {
    const first = await startValkey({ dir, valkeyServer })
    expect(await command(first, 'SET kept 1')).toContain('+OK')
    expect(await command(first, 'WAITAOF 1 0 5000')).toContain(':1')
    process.kill(first.pid, 'SIGKILL')
    await first.exited
    const second = await startValkey({ dir, valkeyServer })
    try {
      expect(await command(second, 'GET kept')).toContain('$1\n1')
      expect(await command(second, 'CONFIG GET maxmemory-policy')).toContain('noeviction')
      expect(await command(second, 'CONFIG GET appendfsync')).toContain('everysec')
      expect(await command(second, 'GET kept', 'wrong')).toContain('NOAUTH')
    } finally {
      await second.stop()
    }
  })

  it('says how to get a server that is not there', async () => {
    const start = startValkey({ dir, valkeyServer: path.join(dir, 'nothing') })
    await expect(start).rejects.toMatchObject({
      code: 'tool-missing',
      message: expect.stringContaining('npm run setup')
    })
  })
})

describe('a data directory', () => {
  it('is refused while another live process serves it, and taken over once that was killed', async () => {
    const owner = await ownerProcess()
    const [oldPostgres, oldValkey] = owner.services
    await query(oldPostgres?.url ?? '', 'CREATE TABLE kept AS SELECT 1 AS n')
    await expect(startPostgres({ dir })).rejects.toMatchObject({ code: 'data-dir-in-use' })
    await expect(startValkey({ dir, valkeyServer })).rejects.toMatchObject({ code: 'data-dir-in-use' })

    await owner.kill()
    const lines: string[] = []
    const log = (line: string): void => void lines.push(line)
    const [postgres, valkey] = await Promise.all([startPostgres({ dir, log }), startValkey({ dir, valkeyServer, log })])
    try {
      expect(lines.join('\n')).toContain(`Postgres ${oldPostgres?.pid}`)
      expect(lines.join('\n')).toContain(`Valkey ${oldValkey?.pid}`)
      expect(await query(postgres.url, 'SELECT n FROM kept')).toEqual([{ n: 1 }])
      await expect(query(oldPostgres?.url ?? '', 'SELECT 1')).rejects.toThrow()
    } finally {
      await Promise.all([postgres.stop(), valkey.stop()])
    }
  })

  it('has its services ended when it was left behind, and only then', async () => {
    const owner = await ownerProcess()
    expect(await endLeftBehind(dir)).toBe(false)
    await owner.kill()
    expect(await endLeftBehind(dir)).toBe(true)
    for (const { port } of owner.services) await expect(connect(port)).rejects.toMatchObject({ code: 'ECONNREFUSED' })
    expect(await endLeftBehind(dir)).toBe(false)
  })

  it('is not taken over from a stranger who has the old process id now', async () => {
    await (await startValkey({ dir, valkeyServer })).stop()
    fs.writeFileSync(path.join(dir, 'valkey/valkey.pid'), String(process.pid))
    const valkey = await startValkey({ dir, valkeyServer })
    await valkey.stop()
  })
})
