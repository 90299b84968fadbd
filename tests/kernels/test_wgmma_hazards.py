#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 The dlquant authors
# SPDX-License-Identifier: Apache-2.0
"""wgmma_hazards.py on listings whose hazards are known."""

import unittest

import wgmma_hazards

PRODUCT = 'HGMMA.64x16x16.F32.BF16 R24, gdesc[UR4], R24, gsb0'
WAIT = 'WARPGROUP.DEPBAR.LE gsb0, 0x0'


def list_function(*lines):
    body = [f'        /*{16 * i:04x}*/    {line} ;    /* 0x0 */' for i, line in enumerate(lines)]
    return '\n'.join(['\t\tFunction : kernel', *body])


def hazards(*lines):
    ((_, body),) = wgmma_hazards.read_functions(list_function(*lines))
    return [(instruction.address, touched) for instruction, touched in wgmma_hazards.find_hazards(body)]


class Hazards(unittest.TestCase):
    def test_a_wait_makes_sums_usable(self):
        self.assertEqual(hazards(PRODUCT, WAIT, 'MOV R2, R24', 'EXIT'), [])

    def test_use_before_the_wait(self):
        self.assertEqual(hazards(PRODUCT, 'MOV R2, R31', WAIT, 'EXIT'), [(0x10, [31])])
        self.assertEqual(hazards(PRODUCT, 'MOV R24, R2', WAIT, 'EXIT'), [(0x10, [24])])
        self.assertEqual(hazards(PRODUCT, 'STG.E.64 desc[UR4][R2.64], R30.64', WAIT, 'EXIT'), [(0x10, [30, 31])])

    def test_other_registers_and_products_are_free(self):
        self.assertEqual(hazards(PRODUCT, 'MOV R2, R32', 'MOV R23, R3', PRODUCT, WAIT, 'EXIT'), [])

    def test_a_wait_for_older_products_is_not_enough(self):
        older = 'WARPGROUP.DEPBAR.LE gsb0, 0x1'
        self.assertEqual(hazards(PRODUCT, older, 'MOV R2, R24', WAIT, 'EXIT'), [(0x20, [24])])

    def test_sums_of_halves_take_half_the_registers(self):
        product = 'HGMMA.64x16x16.F16 R24, gdesc[UR4], R24, gsb0'
        self.assertEqual(hazards(product, 'MOV R2, R28', 'MOV R2, R27', WAIT, 'EXIT'), [(0x20, [27])])

    def test_one_way_to_an_instruction_is_enough(self):
        lines = ['@P0 BRA 0x30', PRODUCT, 'BRA 0x40', 'MOV R3, R4', 'MOV R2, R24', 'EXIT']
        self.assertEqual(hazards(*lines), [(0x40, [24])])
        lines[1:3] = [WAIT, 'BRA 0x40']
        self.assertEqual(hazards(*lines), [])

    def test_a_loop_carries_products_back(self):
        self.assertEqual(hazards('MOV R2, R24', PRODUCT, '@P0 BRA 0x0', WAIT, 'EXIT'), [(0x0, [24])])

    def test_what_is_not_reached_is_not_used(self):
        self.assertEqual(hazards(PRODUCT, 'BRA 0x30', 'MOV R2, R24', WAIT, 'EXIT', 'MOV R2, R24'), [])

    def test_threads_meet_where_the_barrier_says(self):
        lines = ['BSSY B0, 0x40', PRODUCT, 'BSYNC B0', 'MOV R2, R24', WAIT, 'EXIT']
        self.assertEqual(hazards(*lines), [])
        lines[0] = 'BSSY B0, 0x30'
        self.assertEqual(hazards(*lines), [(0x30, [24])])

    def test_functions_without_products_are_not_counted(self):
        listing = list_function('MOV R2, R24', 'EXIT') + '\n' + list_function(PRODUCT, 'MOV R2, R24', WAIT, 'EXIT')
        self.assertEqual(wgmma_hazards.check(listing, 'listing'), (1, 1))


if __name__ == '__main__':
    unittest.main()
