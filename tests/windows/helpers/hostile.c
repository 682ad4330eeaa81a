/* Sends the head of a frame of nearly 4 GiB to a pipe, and is content when that ends the connection. */
#include <windows.h>

int wmain(int argc, wchar_t **argv) {
    unsigned char head[5] = {0xff, 0xff, 0xff, 0xff, '{'}, answer[4096];
    DWORD many;
    HANDLE pipe;
    if (argc != 2) return 2;
    pipe = CreateFileW(argv[1], GENERIC_READ | GENERIC_WRITE, 0, NULL, OPEN_EXISTING, 0, NULL);
    if (pipe == INVALID_HANDLE_VALUE) return 1;
    if (!WriteFile(pipe, head, sizeof head, &many, NULL)) return 3;
    while (ReadFile(pipe, answer, sizeof answer, &many, NULL) && many > 0) {}
    return 0;
}
