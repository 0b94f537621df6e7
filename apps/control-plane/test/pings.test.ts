import { describe, expect, it } from 'vitest'
import { Pings } from '../src/agent/pings.ts'

class Socket {
  pinged = 0
  ping(): void {
    this.pinged += 1
  }
}

describe('Pings', () => {
  it('reach each socket once in a period, a fiftieth of them at a time, and none that is gone', () => {
    const sockets = Array.from({ length: 1_000 }, () => new Socket())
    const all = () => sockets.reduce((sum, { pinged }) => sum + pinged, 0)
    const pings = new Pings<Socket>(5_000)
    for (const socket of sockets) pings.add(socket)
    pings.turn()
    expect(all()).toBe(20)
    for (let turn = 1; turn < 50; turn++) pings.turn()
    expect(new Set(sockets.map(({ pinged }) => pinged))).toEqual(new Set([1]))
    for (const socket of sockets.slice(1)) pings.remove(socket)
    for (let turn = 0; turn < 50; turn++) pings.turn()
    expect(all()).toBe(1_001)
  })
})
