import { describe, expect, it } from 'vitest'
import { mappingsOf } from '../src/mapped-pages.ts'

const maps = `7f0000000000-7f0000003000 r--p 00000000 fe:00 1234   /models/a model.tflite
7f0000010000-7f0000011000 r--p 00000000 fe:00 1235                       /models/a model.tflite.part
7f0000020000-7f0000021000 rw-p 00000000 fe:00 1234                       /models/a model.tflite
7f0000030000-7f0000031000 rw-p 00000000 00:00 0
`

describe('the mappings of a file', () => {
  it('are those of that file alone, and not those that hold what was written to them', () => {
    expect(mappingsOf('/models/a model.tflite', maps)).toEqual([{ address: 0x7f00_0000_0000n, bytes: 0x3000 }])
    expect(mappingsOf('', maps)).toEqual([])
  })
})
