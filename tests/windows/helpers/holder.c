/* Holds a file open so that nobody else may rename it or put another in its place; ends when standard input does. */
#include <stdio.h>
#include <windows.h>

int wmain(int argc, wchar_t **argv) {
    HANDLE file;
    if (argc != 2) return 2;
    file = CreateFileW(argv[1], GENERIC_READ, FILE_SHARE_READ, NULL, OPEN_EXISTING, 0, NULL);
    if (file == INVALID_HANDLE_VALUE) return 1;
    printf("held");
    fflush(stdout);
    while (getchar() != EOF) {}
    CloseHandle(file);
    return 0;
}
