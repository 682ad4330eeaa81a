/* What Rust's standard library takes its random numbers from on Windows, which Wine 8 lacks. For tests: it is in no package. */
#include <windows.h>
#include <ntsecapi.h>

__declspec(dllexport) BOOL WINAPI ProcessPrng(PUCHAR out, SIZE_T left) {
    while (left > 0) {
        ULONG part = left > 65536 ? 65536 : (ULONG)left;
        if (!RtlGenRandom(out, part)) return FALSE;
        out += part;
        left -= part;
    }
    return TRUE;
}
