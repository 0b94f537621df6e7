import { createRequire } from 'node:module'
import type * as Ws from 'ws'

/** Required, not imported: the first import of a CommonJS package starts Node's lexer for those, 5 MB that stay. */
export const { WebSocket } = createRequire(import.meta.url)('ws') as typeof Ws
export type WebSocket = Ws.WebSocket
