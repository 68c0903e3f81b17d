#include "textflag.h"

// BLAKE3's compression of sixteen blocks at once, one in each 32-bit lane of
// the AVX-512 registers:
//
//	Z0–Z15   the state v0–v15 of the specification, section 2.2; between
//	         blocks Z0–Z7 are the chaining values
//	Z16–Z31  the message words m0–m15

DATA iv<>+0(SB)/8, $0xBB67AE856A09E667
DATA iv<>+8(SB)/8, $0xA54FF53A3C6EF372
DATA iv<>+16(SB)/8, $0x9B05688C510E527F
DATA iv<>+24(SB)/8, $0x5BE0CD191F83D9AB
GLOBL iv<>(SB), RODATA|NOPTR, $32

DATA seq<>+0(SB)/8, $0x0000000100000000
DATA seq<>+8(SB)/8, $0x0000000300000002
DATA seq<>+16(SB)/8, $0x0000000500000004
DATA seq<>+24(SB)/8, $0x0000000700000006
DATA seq<>+32(SB)/8, $0x0000000900000008
DATA seq<>+40(SB)/8, $0x0000000B0000000A
DATA seq<>+48(SB)/8, $0x0000000D0000000C
DATA seq<>+56(SB)/8, $0x0000000F0000000E
GLOBL seq<>(SB), RODATA|NOPTR, $64

// CHAIN loads the initial chaining value into every lane.
#define CHAIN \
	VPBROADCASTD iv<>+0(SB), Z0; \
	VPBROADCASTD iv<>+4(SB), Z1; \
	VPBROADCASTD iv<>+8(SB), Z2; \
	VPBROADCASTD iv<>+12(SB), Z3; \
	VPBROADCASTD iv<>+16(SB), Z4; \
	VPBROADCASTD iv<>+20(SB), Z5; \
	VPBROADCASTD iv<>+24(SB), Z6; \
	VPBROADCASTD iv<>+28(SB), Z7

// LOAD reads four of the blocks, which lie stride bytes apart.
#define LOAD(p, n, stride, r0, r1, r2, r3) \
	VMOVDQU32 ((n+0)*stride)(p), r0; \
	VMOVDQU32 ((n+1)*stride)(p), r1; \
	VMOVDQU32 ((n+2)*stride)(p), r2; \
	VMOVDQU32 ((n+3)*stride)(p), r3

// QUAD transposes four rows within their 128-bit parts: then register k holds
// of each row the words k, 4+k, 8+k and 12+k, one in each part.
#define QUAD(r0, r1, r2, r3, t0, t1, t2, t3) \
	VPUNPCKLDQ r1, r0, t0; \
	VPUNPCKHDQ r1, r0, t1; \
	VPUNPCKLDQ r3, r2, t2; \
	VPUNPCKHDQ r3, r2, t3; \
	VPUNPCKLQDQ t2, t0, r0; \
	VPUNPCKHQDQ t2, t0, r1; \
	VPUNPCKLQDQ t3, t1, r2; \
	VPUNPCKHQDQ t3, t1, r3

// PARTS transposes four registers by their 128-bit parts, into x0–x3.
#define PARTS(r0, r1, r2, r3, t0, t1, t2, t3, x0, x1, x2, x3) \
	VSHUFI32X4 $0x44, r1, r0, t0; \
	VSHUFI32X4 $0xEE, r1, r0, t1; \
	VSHUFI32X4 $0x44, r3, r2, t2; \
	VSHUFI32X4 $0xEE, r3, r2, t3; \
	VSHUFI32X4 $0x88, t2, t0, x0; \
	VSHUFI32X4 $0xDD, t2, t0, x1; \
	VSHUFI32X4 $0x88, t3, t1, x2; \
	VSHUFI32X4 $0xDD, t3, t1, x3

// MESSAGE makes the message words of sixteen blocks, much sooner than VPGATHERDD
// would; Z8–Z15 are lost.
#define MESSAGE(p, stride) \
	LOAD(p, 0, stride, Z16, Z17, Z18, Z19); \
	LOAD(p, 4, stride, Z20, Z21, Z22, Z23); \
	LOAD(p, 8, stride, Z24, Z25, Z26, Z27); \
	LOAD(p, 12, stride, Z28, Z29, Z30, Z31); \
	QUAD(Z16, Z17, Z18, Z19, Z8, Z9, Z10, Z11); \
	QUAD(Z20, Z21, Z22, Z23, Z12, Z13, Z14, Z15); \
	QUAD(Z24, Z25, Z26, Z27, Z8, Z9, Z10, Z11); \
	QUAD(Z28, Z29, Z30, Z31, Z12, Z13, Z14, Z15); \
	PARTS(Z16, Z20, Z24, Z28, Z8, Z9, Z10, Z11, Z16, Z20, Z24, Z28); \
	PARTS(Z17, Z21, Z25, Z29, Z12, Z13, Z14, Z15, Z17, Z21, Z25, Z29); \
	PARTS(Z18, Z22, Z26, Z30, Z8, Z9, Z10, Z11, Z18, Z22, Z26, Z30); \
	PARTS(Z19, Z23, Z27, Z31, Z12, Z13, Z14, Z15, Z19, Z23, Z27, Z31)

// HALF is half a round: four times the function G, with their steps interleaved, because they are
// independent.
#define HALF(a0, a1, a2, a3, b0, b1, b2, b3, c0, c1, c2, c3, d0, d1, d2, d3, x0, x1, x2, x3, y0, y1, y2, y3) \
	VPADDD x0, a0, a0; \
	VPADDD x1, a1, a1; \
	VPADDD x2, a2, a2; \
	VPADDD x3, a3, a3; \
	MIX(a0, a1, a2, a3, b0, b1, b2, b3, c0, c1, c2, c3, d0, d1, d2, d3, $16, $12); \
	VPADDD y0, a0, a0; \
	VPADDD y1, a1, a1; \
	VPADDD y2, a2, a2; \
	VPADDD y3, a3, a3; \
	MIX(a0, a1, a2, a3, b0, b1, b2, b3, c0, c1, c2, c3, d0, d1, d2, d3, $8, $7)

#define MIX(a0, a1, a2, a3, b0, b1, b2, b3, c0, c1, c2, c3, d0, d1, d2, d3, r, s) \
	VPADDD b0, a0, a0; \
	VPADDD b1, a1, a1; \
	VPADDD b2, a2, a2; \
	VPADDD b3, a3, a3; \
	VPXORD a0, d0, d0; \
	VPXORD a1, d1, d1; \
	VPXORD a2, d2, d2; \
	VPXORD a3, d3, d3; \
	VPRORD r, d0, d0; \
	VPRORD r, d1, d1; \
	VPRORD r, d2, d2; \
	VPRORD r, d3, d3; \
	VPADDD d0, c0, c0; \
	VPADDD d1, c1, c1; \
	VPADDD d2, c2, c2; \
	VPADDD d3, c3, c3; \
	VPXORD c0, b0, b0; \
	VPXORD c1, b1, b1; \
	VPXORD c2, b2, b2; \
	VPXORD c3, b3, b3; \
	VPRORD s, b0, b0; \
	VPRORD s, b1, b1; \
	VPRORD s, b2, b2; \
	VPRORD s, b3, b3

#define ROUND(m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15) \
	HALF(Z0, Z1, Z2, Z3, Z4, Z5, Z6, Z7, Z8, Z9, Z10, Z11, Z12, Z13, Z14, Z15, m0, m2, m4, m6, m1, m3, m5, m7); \
	HALF(Z0, Z1, Z2, Z3, Z5, Z6, Z7, Z4, Z10, Z11, Z8, Z9, Z15, Z12, Z13, Z14, m8, m10, m12, m14, m9, m11, m13, m15)

// COMPRESS is the compression function: seven rounds, each with the words permuted once more, and
// then the chaining values. The caller has set Z12–Z15; COMPRESS sets Z8–Z11.
#define COMPRESS \
	VPBROADCASTD iv<>+0(SB), Z8; \
	VPBROADCASTD iv<>+4(SB), Z9; \
	VPBROADCASTD iv<>+8(SB), Z10; \
	VPBROADCASTD iv<>+12(SB), Z11; \
	ROUND(Z16, Z17, Z18, Z19, Z20, Z21, Z22, Z23, Z24, Z25, Z26, Z27, Z28, Z29, Z30, Z31); \
	ROUND(Z18, Z22, Z19, Z26, Z23, Z16, Z20, Z29, Z17, Z27, Z28, Z21, Z25, Z30, Z31, Z24); \
	ROUND(Z19, Z20, Z26, Z28, Z29, Z18, Z23, Z30, Z22, Z21, Z25, Z16, Z27, Z31, Z24, Z17); \
	ROUND(Z26, Z23, Z28, Z25, Z30, Z19, Z29, Z31, Z20, Z16, Z27, Z18, Z21, Z24, Z17, Z22); \
	ROUND(Z28, Z29, Z25, Z27, Z31, Z26, Z30, Z24, Z23, Z18, Z21, Z19, Z16, Z17, Z22, Z20); \
	ROUND(Z25, Z30, Z27, Z21, Z24, Z28, Z31, Z17, Z29, Z19, Z16, Z26, Z18, Z22, Z20, Z23); \
	ROUND(Z27, Z31, Z21, Z16, Z17, Z25, Z24, Z22, Z30, Z26, Z18, Z28, Z19, Z20, Z23, Z29); \
	VPXORD Z8, Z0, Z0; \
	VPXORD Z9, Z1, Z1; \
	VPXORD Z10, Z2, Z2; \
	VPXORD Z11, Z3, Z3; \
	VPXORD Z12, Z4, Z4; \
	VPXORD Z13, Z5, Z5; \
	VPXORD Z14, Z6, Z6; \
	VPXORD Z15, Z7, Z7

// STORE4 writes half of the chaining values of lanes k, 4+k, 8+k and 12+k.
#define STORE4(p, k, half, x, z) \
	VMOVDQU x, (32*k+16*half)(p); \
	VEXTRACTI32X4 $1, z, (32*(4+k)+16*half)(p); \
	VEXTRACTI32X4 $2, z, (32*(8+k)+16*half)(p); \
	VEXTRACTI32X4 $3, z, (32*(12+k)+16*half)(p)

// STORE writes the chaining values one lane after the other.
#define STORE(p) \
	QUAD(Z0, Z1, Z2, Z3, Z8, Z9, Z10, Z11); \
	QUAD(Z4, Z5, Z6, Z7, Z12, Z13, Z14, Z15); \
	STORE4(p, 0, 0, X0, Z0); \
	STORE4(p, 0, 1, X4, Z4); \
	STORE4(p, 1, 0, X1, Z1); \
	STORE4(p, 1, 1, X5, Z5); \
	STORE4(p, 2, 0, X2, Z2); \
	STORE4(p, 2, 1, X6, Z6); \
	STORE4(p, 3, 0, X3, Z3); \
	STORE4(p, 3, 1, X7, Z7)

// func chunks16(cvs *[16][8]uint32, group *[16384]byte, counter uint64)
TEXT ·chunks16(SB), NOSPLIT, $0-24
	MOVQ cvs+0(FP), DI
	MOVQ group+8(FP), SI
	MOVQ counter+16(FP), R8
	MOVQ R8, R9
	SHRQ $32, R9
	MOVL $1, R10 // flags: CHUNK_START
	MOVL $64, R11 // length of a block
	MOVL $16, CX // blocks to come
	CHAIN

block:
	MESSAGE(SI, 1024)
	VPBROADCASTD R8, Z12
	VPADDD seq<>(SB), Z12, Z12 // never carries: the counter is a multiple of 16
	VPBROADCASTD R9, Z13
	VPBROADCASTD R11, Z14
	VPBROADCASTD R10, Z15
	COMPRESS
	ADDQ $64, SI
	XORL R10, R10
	MOVL $2, DX // CHUNK_END
	DECL CX
	CMPL CX, $1
	CMOVLEQ DX, R10
	JGE block
	STORE(DI)
	VZEROUPPER
	RET

// func parents16(parents *[16][8]uint32, children *[32][8]uint32)
TEXT ·parents16(SB), NOSPLIT, $0-16
	MOVQ parents+0(FP), DI
	MOVQ children+8(FP), SI
	MOVL $64, R11 // length of a block
	MOVL $4, R10 // flags: PARENT
	CHAIN
	MESSAGE(SI, 64)
	VPXORD Z12, Z12, Z12
	VPXORD Z13, Z13, Z13
	VPBROADCASTD R11, Z14
	VPBROADCASTD R10, Z15
	COMPRESS
	STORE(DI)
	VZEROUPPER
	RET

// Four blocks at once, for what is too short to fill sixteen lanes: a register holds the same row
// of four states, one state in each 128-bit part.
//
//	Z0–Z3    v0–v3, v4–v7, v8–v11 and v12–v15; between blocks Z0 and Z1 are
//	         the chaining values
//	Z4–Z7    the message words of a half round, as its functions G take them
//	Z16–Z19  the words of each block, in the order of first<> or next<>
//	Z20, Z21 first<> and next<>
//	Z30, Z31 v8–v11 and v12–v15 at the beginning of a block

// first<> is the order in which the first round takes the words of a message. To form the
// diagonals the other rows are rotated, and v4–v7, which are ready last, stay.
DATA first<>+0(SB)/8, $0x0000000200000000
DATA first<>+8(SB)/8, $0x0000000600000004
DATA first<>+16(SB)/8, $0x0000000300000001
DATA first<>+24(SB)/8, $0x0000000700000005
DATA first<>+32(SB)/8, $0x000000080000000E
DATA first<>+40(SB)/8, $0x0000000C0000000A
DATA first<>+48(SB)/8, $0x000000090000000F
DATA first<>+56(SB)/8, $0x0000000D0000000B
GLOBL first<>(SB), RODATA|NOPTR, $64

// next<> permutes the words of a message from the order of one round to that of the next.
DATA next<>+0(SB)/8, $0x0000000500000001
DATA next<>+8(SB)/8, $0x0000000200000007
DATA next<>+16(SB)/8, $0x0000000A00000003
DATA next<>+24(SB)/8, $0x0000000F00000000
DATA next<>+32(SB)/8, $0x000000040000000C
DATA next<>+40(SB)/8, $0x0000000D0000000B
DATA next<>+48(SB)/8, $0x0000000E00000009
DATA next<>+56(SB)/8, $0x0000000800000006
GLOBL next<>(SB), RODATA|NOPTR, $64

#define ROWPERMUTE \
	VPERMD Z16, Z21, Z16; \
	VPERMD Z17, Z21, Z17; \
	VPERMD Z18, Z21, Z18; \
	VPERMD Z19, Z21, Z19

// ROWHALF is half a round: the function G on every column.
#define ROWHALF(x, y) \
	VPADDD x, Z0, Z0; \
	VPADDD Z1, Z0, Z0; \
	VPXORD Z0, Z3, Z3; \
	VPRORD $16, Z3, Z3; \
	VPADDD Z3, Z2, Z2; \
	VPXORD Z2, Z1, Z1; \
	VPRORD $12, Z1, Z1; \
	VPADDD y, Z0, Z0; \
	VPADDD Z1, Z0, Z0; \
	VPXORD Z0, Z3, Z3; \
	VPRORD $8, Z3, Z3; \
	VPADDD Z3, Z2, Z2; \
	VPXORD Z2, Z1, Z1; \
	VPRORD $7, Z1, Z1

#define ROWROUND \
	PARTS(Z16, Z17, Z18, Z19, Z8, Z9, Z10, Z11, Z4, Z5, Z6, Z7); \
	ROWHALF(Z4, Z5); \
	VPSHUFD $0x93, Z0, Z0; \
	VPSHUFD $0x4E, Z3, Z3; \
	VPSHUFD $0x39, Z2, Z2; \
	ROWHALF(Z6, Z7); \
	VPSHUFD $0x39, Z0, Z0; \
	VPSHUFD $0x4E, Z3, Z3; \
	VPSHUFD $0x93, Z2, Z2

// ROWCOMPRESS is the compression function: seven rounds, and then the chaining
// values.
#define ROWCOMPRESS \
	VMOVDQA32 Z30, Z2; \
	ROWROUND; ROWPERMUTE; \
	ROWROUND; ROWPERMUTE; \
	ROWROUND; ROWPERMUTE; \
	ROWROUND; ROWPERMUTE; \
	ROWROUND; ROWPERMUTE; \
	ROWROUND; ROWPERMUTE; \
	ROWROUND; \
	VPXORD Z2, Z0, Z0; \
	VPXORD Z3, Z1, Z1

// func compress4(cvs *quad, blocks *byte, stride, n uintptr, rest *rest)
TEXT ·compress4(SB), NOSPLIT, $0-40
	MOVQ cvs+0(FP), DI
	MOVQ blocks+8(FP), SI
	MOVQ stride+16(FP), R8
	MOVQ n+24(FP), CX
	MOVQ rest+32(FP), R9
	LEAQ (R8)(R8*2), R10
	VMOVDQU32 first<>(SB), Z20
	VMOVDQU32 next<>(SB), Z21
	VBROADCASTI32X4 iv<>+0(SB), Z30
	VMOVDQU32 (R9), Z31
	VMOVDQU32 (DI), Z0
	VMOVDQU32 64(DI), Z1

row:
	VPERMD (SI), Z20, Z16
	VPERMD (SI)(R8*1), Z20, Z17
	VPERMD (SI)(R8*2), Z20, Z18
	VPERMD (SI)(R10*1), Z20, Z19
	VMOVDQA32 Z31, Z3
	ROWCOMPRESS
	ADDQ $64, SI
	DECQ CX
	JNZ row
	VMOVDQU32 Z0, (DI)
	VMOVDQU32 Z1, 64(DI)
	VZEROUPPER
	RET

// The same for processors with AVX2 without AVX-512: a register holds one row of two states, and
// two of them replace one register above. The words of a message are brought into the orders of
// all seven rounds first, on the stack.
//
//	Y0–Y3, Y4–Y7  the rows of the first two states and of the others
//	Y8, Y9        in between
//	Y10, Y11      bytes16<> and bytes8<>

// bytes16<> and bytes8<> rotate words to the right by that many bits.
DATA bytes16<>+0(SB)/8, $0x0504070601000302
DATA bytes16<>+8(SB)/8, $0x0D0C0F0E09080B0A
DATA bytes16<>+16(SB)/8, $0x0504070601000302
DATA bytes16<>+24(SB)/8, $0x0D0C0F0E09080B0A
GLOBL bytes16<>(SB), RODATA|NOPTR, $32
DATA bytes8<>+0(SB)/8, $0x0407060500030201
DATA bytes8<>+8(SB)/8, $0x0C0F0E0D080B0A09
DATA bytes8<>+16(SB)/8, $0x0407060500030201
DATA bytes8<>+24(SB)/8, $0x0C0F0E0D080B0A09
GLOBL bytes8<>(SB), RODATA|NOPTR, $32

// LOAD2 loads 16 bytes of one block and of the next into the halves of a register.
#define LOAD2(at, x, y) \
	VMOVDQU at(SI), x; \
	VINSERTI128 $1, at(SI)(R8*1), y, y

#define KEEP(to, a, b, c, d) \
	VMOVDQU a, to+0(SP); \
	VMOVDQU b, to+32(SP); \
	VMOVDQU c, to+64(SP); \
	VMOVDQU d, to+96(SP)

// ORDERFIRST puts the words of a message m, n, o, p into the order of the first round.
#define ORDERFIRST(m, n, o, p, a, b, c, d, to) \
	VSHUFPS $0x88, n, m, a; \
	VSHUFPS $0xDD, n, m, b; \
	VSHUFPS $0x88, p, o, c; \
	VSHUFPS $0xDD, p, o, d; \
	VPSHUFD $0x93, c, c; \
	VPSHUFD $0x93, d, d; \
	KEEP(to, a, b, c, d)

// ORDERNEXT puts them from the order of one round into that of the next.
#define ORDERNEXT(m, n, o, p, a, b, c, d, to) \
	VSHUFPS $0xD6, n, m, a; \
	VPSHUFD $0x39, a, a; \
	VSHUFPS $0xFA, p, o, b; \
	VPSHUFD $0x0F, m, Y8; \
	VPBLENDD $0xAA, b, Y8, b; \
	VPUNPCKLQDQ n, p, c; \
	VPBLENDD $0x88, o, c, Y8; \
	VPSHUFD $0x78, Y8, c; \
	VPUNPCKHDQ p, n, d; \
	VPUNPCKLDQ d, o, Y8; \
	VPSHUFD $0x1E, Y8, d; \
	KEEP(to, a, b, c, d)

// ORDERS keeps the words of two blocks in the order of each round.
#define ORDERS(to) \
	LOAD2(0, X12, Y12); \
	LOAD2(16, X13, Y13); \
	LOAD2(32, X14, Y14); \
	LOAD2(48, X15, Y15); \
	ORDERFIRST(Y12, Y13, Y14, Y15, Y2, Y3, Y6, Y7, to); \
	ORDERNEXT(Y2, Y3, Y6, Y7, Y12, Y13, Y14, Y15, to+128); \
	ORDERNEXT(Y12, Y13, Y14, Y15, Y2, Y3, Y6, Y7, to+256); \
	ORDERNEXT(Y2, Y3, Y6, Y7, Y12, Y13, Y14, Y15, to+384); \
	ORDERNEXT(Y12, Y13, Y14, Y15, Y2, Y3, Y6, Y7, to+512); \
	ORDERNEXT(Y2, Y3, Y6, Y7, Y12, Y13, Y14, Y15, to+640); \
	ORDERNEXT(Y12, Y13, Y14, Y15, Y2, Y3, Y6, Y7, to+768)

// HALVES is half of the function G on every column of both sets of registers.
#define HALVES(words, bytes, right, left) \
	VPADDD words+0(SP), Y0, Y0; \
	VPADDD words+896(SP), Y4, Y4; \
	VPADDD Y1, Y0, Y0; \
	VPADDD Y5, Y4, Y4; \
	VPXOR Y0, Y3, Y3; \
	VPXOR Y4, Y7, Y7; \
	VPSHUFB bytes, Y3, Y3; \
	VPSHUFB bytes, Y7, Y7; \
	VPADDD Y3, Y2, Y2; \
	VPADDD Y7, Y6, Y6; \
	VPXOR Y2, Y1, Y1; \
	VPXOR Y6, Y5, Y5; \
	VPSRLD $right, Y1, Y8; \
	VPSRLD $right, Y5, Y9; \
	VPSLLD $left, Y1, Y1; \
	VPSLLD $left, Y5, Y5; \
	VPOR Y8, Y1, Y1; \
	VPOR Y9, Y5, Y5

#define TURN(a, c) \
	VPSHUFD $a, Y0, Y0; \
	VPSHUFD $a, Y4, Y4; \
	VPSHUFD $0x4E, Y3, Y3; \
	VPSHUFD $0x4E, Y7, Y7; \
	VPSHUFD $c, Y2, Y2; \
	VPSHUFD $c, Y6, Y6

#define ROUND2(words) \
	HALVES(words, Y10, 12, 20); \
	HALVES(words+32, Y11, 7, 25); \
	TURN(0x93, 0x39); \
	HALVES(words+64, Y10, 12, 20); \
	HALVES(words+96, Y11, 7, 25); \
	TURN(0x39, 0x93)

// func compress2x2(cvs *quad, blocks *byte, stride, n uintptr, rest *rest)
TEXT ·compress2x2(SB), 0, $1792-40
	MOVQ cvs+0(FP), DI
	MOVQ blocks+8(FP), SI
	MOVQ stride+16(FP), R8
	MOVQ n+24(FP), CX
	MOVQ rest+32(FP), R9
	VMOVDQU bytes16<>(SB), Y10
	VMOVDQU bytes8<>(SB), Y11
	VMOVDQU (DI), Y0
	VMOVDQU 64(DI), Y1
	VMOVDQU 32(DI), Y4
	VMOVDQU 96(DI), Y5

block:
	ORDERS(0)
	LEAQ (SI)(R8*2), SI
	ORDERS(896)
	SUBQ R8, SI
	SUBQ R8, SI
	VBROADCASTI128 iv<>+0(SB), Y2
	VMOVDQA Y2, Y6
	VMOVDQU (R9), Y3
	VMOVDQU 32(R9), Y7
	ROUND2(0)
	ROUND2(128)
	ROUND2(256)
	ROUND2(384)
	ROUND2(512)
	ROUND2(640)
	ROUND2(768)
	VPXOR Y2, Y0, Y0
	VPXOR Y3, Y1, Y1
	VPXOR Y6, Y4, Y4
	VPXOR Y7, Y5, Y5
	ADDQ $64, SI
	DECQ CX
	JNZ block
	VMOVDQU Y0, (DI)
	VMOVDQU Y1, 64(DI)
	VMOVDQU Y4, 32(DI)
	VMOVDQU Y5, 96(DI)
	VZEROUPPER
	RET
