// In docker-compose.yml: `skerry agent join` with the token from a file; further arguments are passed on.
import fs from 'node:fs'
import path from 'node:path'
import { pathToFileURL } from 'node:url'

const { SKERRY_URL, SKERRY_JOIN_TOKEN_FILE, SKERRY_DATA_DIR } = process.env

const command = path.resolve(import.meta.dirname, '../apps/cli/dist/main.js')
const token = fs.readFileSync(SKERRY_JOIN_TOKEN_FILE, 'utf8').trim()
const join = ['agent', 'join', SKERRY_URL, '--token', token, '--data-dir', SKERRY_DATA_DIR]
process.argv = [process.execPath, command, ...join, ...process.argv.slice(2)]
await import(pathToFileURL(command).href)
