import { describe, expect, it } from 'vitest'
import { reachableUrls } from '../src/reachable-urls.ts'

const at = (address: string, family = 'IPv4') => ({ address, family, port: 8080 })
const interfaces = [
  { ...at('127.0.0.1'), internal: true },
  { ...at('192.0.2.7'), internal: false },
  { ...at('fe80::1', 'IPv6'), internal: false }
]

describe('where devices reach a control plane', () => {
  it('tells the addresses of the networks where it listens on all of them, loopback last', () => {
    const urls = ['http://192.0.2.7:8080', 'http://127.0.0.1:8080']
    expect(reachableUrls([at('0.0.0.0')], undefined, interfaces)).toEqual(urls)
    expect(reachableUrls([at('0.0.0.0'), at('::', 'IPv6')], undefined, interfaces)).toEqual(urls)
  })

  it('tells the one address that it is bound to, and before it the one that somebody gave', () => {
    expect(reachableUrls([at('2001:db8::1', 'IPv6')], undefined, interfaces)).toEqual(['http://[2001:db8::1]:8080'])
    expect(reachableUrls([at('127.0.0.1')], 'https://skerry.example', interfaces)).toEqual([
      'https://skerry.example',
      'http://127.0.0.1:8080'
    ])
  })
})
