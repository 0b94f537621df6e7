import { createRequire } from 'node:module'
import type * as Commander from 'commander'
import type * as Pino from 'pino'

const require = createRequire(import.meta.url)

/* Required, not imported: the first import of a CommonJS package starts Node's lexer for those, 5 MB that an agent keeps. */
export const { Command, InvalidArgumentError, Option } = require('commander') as typeof Commander
export type Command = Commander.Command
export const { pino } = require('pino') as typeof Pino
