// Prisma's real schema engine, as WASM from npm: it compares prisma/migrations with prisma/schema.prisma. Prisma's own
// command downloads a native engine, which not every machine may.
import { randomUUID } from 'node:crypto'
import fs from 'node:fs'
import { createRequire } from 'node:module'
import os from 'node:os'
import path from 'node:path'
import { PrismaPg } from '@prisma/adapter-pg'
import { bindMigrationAwareSqlAdapterFactory, ColumnTypeEnum } from '@prisma/driver-adapter-utils'
import * as bindings from '@prisma/schema-engine-wasm/schema_engine_bg'
import pg from 'pg'
import { startPostgres } from '../packages/embedded/dist/index.js'

const root = path.resolve(import.meta.dirname, '..')
export const migrationsDir = path.join(root, 'prisma/migrations')
export const MIGRATION_LOCK = 'provider = "postgresql"\n'
const schemaFile = path.join(root, 'prisma/schema.prisma')

/** The SQL that leads from the migrations to the schema; null when they agree. Runs on a Postgres of its own. */
export async function diffOfSchema() {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'skerry-schema-'))
  const postgres = await startPostgres({ dir, throwaway: true })
  try {
    const schema = { files: [{ path: 'prisma/schema.prisma', content: fs.readFileSync(schemaFile, 'utf8') }] }
    const engine = await openEngine(schema, postgres.url)
    const answer = await engine.diff({
      from: { tag: 'migrations', ...migrations() },
      to: { tag: 'schemaDatamodel', ...schema },
      script: true,
      exitCode: true,
      filters: { externalTables: [], externalEnums: [] }
    })
    return answer.exitCode === 2 ? answer.stdout : null
  } finally {
    await postgres.stop()
    fs.rmSync(dir, { recursive: true, force: true })
  }
}

/** The engine's errors say all in their message; their stack is a page of WASM. */
export function endWith(error) {
  console.error(error.message)
  process.exit(1)
}

async function openEngine(schema, url) {
  const entry = createRequire(import.meta.url).resolve('@prisma/schema-engine-wasm/schema_engine_bg')
  const wasm = path.join(path.dirname(entry), 'schema_engine_bg.wasm')
  const module = await WebAssembly.compile(fs.readFileSync(wasm))
  const instance = await WebAssembly.instantiate(module, { './schema_engine_bg.js': bindings })
  bindings.__wbg_set_wasm(instance.exports)
  instance.exports.__wbindgen_start()
  // The engine calls it before it aborts; without it the reason is lost.
  globalThis.PRISMA_WASM_PANIC_REGISTRY = { set_message: (message) => console.error(`schema engine: ${message}`) }
  const adapter = bindMigrationAwareSqlAdapterFactory(new SchemaAdapter(connectionOf(url)))
  const datamodels = schema.files.map((file) => [file.path, file.content])
  return bindings.SchemaEngine.new({ datamodels }, () => undefined, adapter)
}

function migrations() {
  const names = fs.readdirSync(migrationsDir).filter((name) => fs.existsSync(sqlOf(name)))
  return {
    baseDir: migrationsDir,
    shadowDbInitScript: '',
    lockfile: { path: 'migration_lock.toml', content: MIGRATION_LOCK },
    migrationDirectories: names.sort().map((name) => ({
      path: name,
      migrationFile: { path: 'migration.sql', content: { tag: 'ok', value: fs.readFileSync(sqlOf(name), 'utf8') } }
    }))
  }
}

function sqlOf(name) {
  return path.join(migrationsDir, name, 'migration.sql')
}

function connectionOf(url) {
  const { hostname, port, username, password, pathname } = new URL(url)
  return { host: hostname, port: Number(port), user: username, password, database: pathname.slice(1) }
}

/** Prisma's adapter with the two things the engine needs beyond it: shadow databases, and Postgres's "char" type. */
class SchemaAdapter extends PrismaPg {
  #connection

  constructor(connection) {
    super(connection)
    this.#connection = connection
  }

  async connect() {
    return withCharColumns(await super.connect())
  }

  async connectToShadowDb() {
    const name = `shadow_${randomUUID().replaceAll('-', '')}`
    const admin = new pg.Client(this.#connection)
    await admin.connect()
    await admin.query(`CREATE DATABASE "${name}"`)
    const shadow = await new PrismaPg({ ...this.#connection, database: name }).connect()
    const dispose = shadow.dispose.bind(shadow)
    shadow.dispose = async () => {
      await dispose()
      await admin.query(`DROP DATABASE "${name}" WITH (FORCE)`)
      await admin.end()
    }
    return withCharColumns(shadow)
  }
}

const CHAR_OID = 18
const TEXT_OID = 25

// The catalog's "char" columns are refused by the adapter and wanted as characters by the engine: they pass the
// adapter as text and are named characters again on the way out.
function withCharColumns(connection) {
  let charColumns = []
  const performIO = connection.performIO.bind(connection)
  connection.performIO = async (query) => {
    const result = await performIO(query)
    charColumns = []
    result.fields.forEach((field, index) => {
      if (field.dataTypeID !== CHAR_OID) return
      field.dataTypeID = TEXT_OID
      charColumns.push(index)
    })
    return result
  }
  const queryRaw = connection.queryRaw.bind(connection)
  connection.queryRaw = async (query) => {
    const result = await queryRaw(query)
    const columnTypes = result.columnTypes.map((type, index) =>
      charColumns.includes(index) ? ColumnTypeEnum.Character : type
    )
    return { ...result, columnTypes }
  }
  return connection
}
